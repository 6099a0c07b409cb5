import { Histogram } from './histogram.ts'

/**
 * What can be wrong with a frame that arrived: its octets (`body`), To-Path or From-Path (`path`), another header
 * (`header`), its place in the octet stream or its end-line (`framing`), that it has arrived before (`duplicate`).
 */
export type FaultKind = 'body' | 'path' | 'header' | 'framing' | 'duplicate'

/** What all pairs of a run have seen. */
export class Tally {
  readonly latency = new Histogram()
  readonly faults: Record<FaultKind, number> = { body: 0, path: 0, header: 0, framing: 0, duplicate: 0 }
  /** SENDs that arrived intact. */
  frames = 0
  reordered = 0
  reports = 0
  badResponses = 0
  closedConnections = 0
  /** The first thing that went wrong, in words; holds no URI, which is a bearer secret. */
  first: string | null = null

  fault(kind: FaultKind, what: string): void {
    this.faults[kind]++
    this.first ??= what
  }

  outOfOrder(what: string): void {
    this.reordered++
    this.first ??= what
  }

  /** @param status value of the REPORT's Status header */
  report(status: string): void {
    this.reports++
    this.first ??= `a REPORT came back with status ${status}`
  }

  badResponse(what: string): void {
    this.badResponses++
    this.first ??= what
  }

  closed(what: string): void {
    this.closedConnections++
    this.first ??= what
  }

  get corrupt(): number {
    return Object.values(this.faults).reduce((sum, count) => sum + count, 0)
  }
}

import { SharedCounters } from '../../src/metrics/counters.ts'

/** Counters of so many lanes and a primary, all zero, in shared memory of their own. */
export function newCounters(lanes: number): { counters: SharedCounters; memory: SharedArrayBuffer } {
  const memory = new SharedArrayBuffer((lanes + 1) * SharedCounters.octetsPerRow)
  return { counters: countersIn(memory), memory }
}

/** The same counters, seen by another thread. */
export function countersIn(memory: SharedArrayBuffer): SharedCounters {
  const octets = SharedCounters.octetsPerRow
  const rows = Array.from(
    { length: memory.byteLength / octets },
    (_, row) => new Float64Array(memory, row * octets, octets / Float64Array.BYTES_PER_ELEMENT),
  )
  return new SharedCounters(rows)
}

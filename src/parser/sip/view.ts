import type { Buffer } from 'node:buffer'
import {
  SH_ID,
  SH_NAME,
  SH_NAME_LENGTH,
  SH_VALUE,
  SH_VALUE_LENGTH,
  SI_ASCII,
  SI_CSEQ,
  SI_CSEQ_METHOD,
  SI_FAULT,
  SI_FROM_URI,
  SI_HEAD_END,
  SI_HEADER_COUNT,
  SI_KIND,
  SI_MAX_FORWARDS,
  SI_METHOD,
  SI_METHOD_LENGTH,
  SI_READ,
  SI_REASON,
  SI_REASON_LENGTH,
  SI_SEEN,
  SI_STATUS,
  SI_TABLE,
  SI_TO_URI,
  SI_UNFOLDED,
  SI_URI,
  SI_URI_LENGTH,
  SI_VIAS,
  SIP_H_CALL_ID,
  SIP_H_CONTACT,
  SIP_H_CSEQ,
  SIP_H_EXPIRES,
  SIP_H_FROM,
  SIP_H_OTHER,
  SIP_H_PATH,
  SIP_H_RECORD_ROUTE,
  SIP_H_ROUTE,
  SIP_H_TO,
  SIP_H_VIA,
  SIP_HEADER_WORDS,
  SIP_M_OTHER,
  SIP_RESPONSE,
} from '../kernel/sip-record.ts'
import { isMadeOf, VISIBLE } from './characters.ts'
import { type HeaderName, headerId, isList } from './headers.ts'
import type { Received, SipMessage, SipRequest, SipResponse } from './message.ts'
import { isKnownMethod, methodOf } from './methods.ts'
import { type SipProblem, sipProblems } from './problem.ts'
import { ReadNameAddr, ReadVia } from './read-values.ts'
import { parseSipUri, type SipUri } from './uri.ts'
import {
  type CSeq,
  isAbsoluteUri,
  type NameAddr,
  parseCSeq,
  parseDecimal,
  parseNameAddr,
  parseVia,
  splitList,
  unfold,
  type Via,
  valueEnd,
} from './values.ts'

const none: readonly string[] = []

/** Max-Forwards that is no number. */
const malformed = -2

/** The well-formed values of a list header, and whether these are all. */
interface Values<Value> {
  readonly good: readonly Value[]
  readonly complete: boolean
}

const noNameAddrs: Values<NameAddr> = { good: [], complete: true }

function readNameAddrs(values: readonly string[]): Values<NameAddr> {
  if (values.length === 0) return noNameAddrs
  const read = values.map(parseNameAddr)
  const good = read.filter((value) => value !== null)
  return { good, complete: good.length === read.length }
}

/** A message on its octets and their index: all that requests and responses have in common. */
abstract class MessageView {
  readonly octets: Buffer
  readonly index: readonly number[]
  abstract readonly kind: 'request' | 'response'
  /** The head as text, if it is all ASCII: values are cut from it. */
  #ascii: string | null | undefined
  #problem: SipProblem | null | undefined
  #callId: string | undefined
  #cseq: CSeq | null | undefined
  #from: NameAddr | null | undefined
  #to: NameAddr | null | undefined
  #topVia: Via | null | undefined
  #vias: Values<Via> | undefined
  #contacts: (Values<NameAddr> & { readonly star: boolean }) | undefined
  #routes: Values<NameAddr> | undefined

  constructor(octets: Buffer, index: readonly number[]) {
    this.octets = octets
    this.index = index
  }

  get problem(): SipProblem | null {
    if (this.#problem === undefined) {
      const fault = this.index[SI_FAULT]!
      this.#problem = fault === 0 ? this.findProblem() : sipProblems[fault - 1]!
    }
    return this.#problem
  }

  get callId(): string {
    this.#callId ??= this.firstOf(SIP_H_CALL_ID) ?? ''
    return this.#callId
  }

  get cseq(): CSeq | null {
    if (this.#cseq === undefined) {
      this.#cseq = this.isRead
        ? { number: this.index[SI_CSEQ]! >>> 0, method: methodOf(this.index[SI_CSEQ_METHOD]!) }
        : parseCSeq(this.firstOf(SIP_H_CSEQ) ?? '')
    }
    return this.#cseq
  }

  get from(): NameAddr | null {
    if (this.#from === undefined) {
      this.#from = this.isRead
        ? new ReadNameAddr(this, SIP_H_FROM, SI_FROM_URI)
        : parseNameAddr(this.firstOf(SIP_H_FROM) ?? '')
    }
    return this.#from
  }

  get to(): NameAddr | null {
    if (this.#to === undefined) {
      this.#to = this.isRead ? new ReadNameAddr(this, SIP_H_TO, SI_TO_URI) : parseNameAddr(this.firstOf(SIP_H_TO) ?? '')
    }
    return this.#to
  }

  get vias(): readonly Via[] {
    return this.viaValues.good
  }

  /** Alone, unless all have been read: of what we send ourselves nobody looks at the others. */
  get topVia(): Via | null {
    if (this.#vias !== undefined) return this.#vias.good[0] ?? null
    if (this.#topVia === undefined) this.#topVia = this.isRead ? new ReadVia(this) : this.#readTopVia()
    return this.#topVia
  }

  #readTopVia(): Via | null {
    const line = this.firstOf(SIP_H_VIA)
    return line === null ? null : parseVia(line.slice(0, valueEnd(line, 0)))
  }

  get viaCount(): number {
    return this.isRead ? this.index[SI_VIAS]! : this.vias.length
  }

  get maxForwards(): number | null {
    const number = this.index[SI_MAX_FORWARDS]!
    // S-7: one that is too large counts as absent.
    return number >= 0 && number <= 255 ? number : null
  }

  get expires(): number | null {
    const seconds = parseDecimal(this.firstOf(SIP_H_EXPIRES) ?? '')
    return seconds !== null && seconds < 2 ** 32 ? seconds : null
  }

  get contacts(): readonly NameAddr[] | '*' | null {
    const { good, complete, star } = this.contactValues
    return star ? '*' : good.length === 0 && complete ? null : good
  }

  get routes(): readonly NameAddr[] {
    return this.routeValues.good
  }

  get recordRoutes(): readonly NameAddr[] {
    return this.nameAddrs(SIP_H_RECORD_ROUTE).good
  }

  get paths(): readonly NameAddr[] {
    return this.nameAddrs(SIP_H_PATH).good
  }

  get body(): Buffer {
    return this.octets.subarray(this.index[SI_HEAD_END]!)
  }

  forget(): void {
    this.#ascii = undefined
    this.#callId = undefined
    this.#cseq = undefined
    this.#from = undefined
    this.#to = undefined
    this.#topVia = undefined
    this.#vias = undefined
    this.#contacts = undefined
    this.#routes = undefined
  }

  header(name: HeaderName): string | null {
    const id = headerId(name)
    if (id !== SIP_H_OTHER) return this.firstOf(id)
    return this.headers(name)[0] ?? null
  }

  headers(name: HeaderName): readonly string[] {
    const id = headerId(name)
    if (id !== SIP_H_OTHER) return this.#linesOf(id)
    const wanted = name.toLowerCase()
    const lines: string[] = []
    for (let entry = SI_TABLE; entry < this.#end(); entry += SIP_HEADER_WORDS) {
      if (this.index[entry + SH_ID] !== SIP_H_OTHER || this.index[entry + SH_NAME_LENGTH] !== wanted.length) continue
      if (this.text(this.index[entry + SH_NAME]!, wanted.length).toLowerCase() === wanted)
        lines.push(this.#value(entry))
    }
    return lines
  }

  list(name: HeaderName): readonly string[] {
    const lines = this.headers(name)
    return isList(name) ? lines.flatMap(splitList).filter(Boolean) : lines.filter(Boolean)
  }

  /** The first problem that the kernel cannot see. */
  protected abstract findProblem(): SipProblem | null

  /** The problems that requests and responses have in common (S-6, S-7, S-13). */
  protected findCommonProblem(): SipProblem | null {
    if (this.isRead) return null
    if (!this.viaValues.complete) return 'bad-via'
    if (this.from === null) return 'bad-from'
    if (this.to === null) return 'bad-to'
    if (this.callId === '' || !isMadeOf(this.callId, VISIBLE)) return 'bad-call-id'
    if (this.cseq === null) return 'bad-cseq'
    return null
  }

  latin1(start: number, end: number): string {
    return this.#head()?.slice(start, end) ?? this.octets.toString('latin1', start, end)
  }

  /** Whether the kernel has found Via, From, To, Call-ID and CSeq well formed. */
  protected get isRead(): boolean {
    return this.index[SI_READ] === 1
  }

  text(start: number, length: number): string {
    const end = start + length
    return this.#head()?.slice(start, end) ?? this.octets.toString('utf8', start, end)
  }

  #head(): string | null {
    if (this.#ascii === undefined) {
      this.#ascii = this.index[SI_ASCII] === 1 ? this.octets.toString('latin1', 0, this.index[SI_HEAD_END]!) : null
    }
    return this.#ascii
  }

  /** Where the first header with this id stands in the index, from `from` on; -1: there is none. */
  protected entryOf(id: number, from = SI_TABLE): number {
    if (!this.has(id)) return -1
    const end = this.#end()
    for (let entry = from; entry < end; entry += SIP_HEADER_WORDS) if (this.index[entry + SH_ID] === id) return entry
    return -1
  }

  /** Whether there is a header with this id. */
  protected has(id: number): boolean {
    return ((this.index[SI_SEEN]! >> id) & 1) === 1
  }

  firstOf(id: number): string | null {
    const entry = this.entryOf(id)
    return entry < 0 ? null : this.#value(entry)
  }

  protected get viaValues(): Values<Via> {
    this.#vias ??= this.#readVias()
    return this.#vias
  }

  #readVias(): Values<Via> {
    const good: Via[] = []
    for (let entry = this.entryOf(SIP_H_VIA); entry >= 0; entry = this.entryOf(SIP_H_VIA, entry + SIP_HEADER_WORDS)) {
      const line = this.#value(entry)
      for (let at = 0; at <= line.length; ) {
        const end = valueEnd(line, at)
        const via = good.length === 0 ? this.topVia : parseVia(line.slice(at, end))
        if (via === null) return { good, complete: false }
        good.push(via)
        at = end + 1
      }
    }
    return { good, complete: true }
  }

  protected get contactValues(): Values<NameAddr> & { readonly star: boolean } {
    if (this.#contacts === undefined) {
      const values = this.#valuesOf(SIP_H_CONTACT)
      const star = values.length === 1 && values[0] === '*'
      this.#contacts = star ? { ...noNameAddrs, star } : { ...readNameAddrs(values), star }
    }
    return this.#contacts
  }

  protected get routeValues(): Values<NameAddr> {
    this.#routes ??= this.nameAddrs(SIP_H_ROUTE)
    return this.#routes
  }

  protected nameAddrs(id: number): Values<NameAddr> {
    return readNameAddrs(this.#valuesOf(id))
  }

  #linesOf(id: number): readonly string[] {
    if (!this.has(id)) return none
    let lines: string[] | undefined
    for (let entry = SI_TABLE; entry < this.#end(); entry += SIP_HEADER_WORDS) {
      if (this.index[entry + SH_ID] === id) (lines ??= []).push(this.#value(entry))
    }
    return lines ?? none
  }

  /** The values of a list header over all its lines, also the empty ones (S-13). */
  #valuesOf(id: number): readonly string[] {
    const lines = this.#linesOf(id)
    if (lines.length === 0) return none
    if (lines.length === 1) return splitList(lines[0]!)
    const values: string[] = []
    for (const line of lines) for (const value of splitList(line)) values.push(value)
    return values
  }

  /** Where the header table ends in the index. */
  #end(): number {
    return SI_TABLE + this.index[SI_HEADER_COUNT]! * SIP_HEADER_WORDS
  }

  #value(entry: number): string {
    const value = this.text(this.index[entry + SH_VALUE]!, this.index[entry + SH_VALUE_LENGTH]!)
    return this.index[SI_UNFOLDED] === 0 && value.includes('\r\n') ? unfold(value) : value
  }
}

class RequestView extends MessageView implements SipRequest {
  readonly kind = 'request'
  readonly method: string
  #requestUri: string | undefined
  #uri: SipUri | null | undefined
  #received: Received | null = null

  constructor(octets: Buffer, index: readonly number[]) {
    super(octets, index)
    const known = index[SI_METHOD]!
    this.method = known === SIP_M_OTHER ? this.text(0, index[SI_METHOD_LENGTH]!) : methodOf(known)
  }

  get requestUri(): string {
    this.#requestUri ??= this.text(this.index[SI_URI]!, this.index[SI_URI_LENGTH]!)
    return this.#requestUri
  }

  get uri(): SipUri | null {
    if (this.#uri === undefined) this.#uri = parseSipUri(this.requestUri)
    return this.#uri
  }

  get received(): Received | null {
    return this.#received
  }

  noteReceived(received: Received): void {
    this.#received = received
  }

  override forget(): void {
    super.forget()
    this.#requestUri = undefined
    this.#uri = undefined
  }

  protected override findProblem(): SipProblem | null {
    // S-13: brackets and headers have no place in a Request-URI.
    const { uri, requestUri } = this
    if (uri === null ? /^sips?:/i.test(requestUri) || !isAbsoluteUri(requestUri) : uri.headers !== null) {
      return 'bad-request-uri'
    }
    const common = this.findCommonProblem()
    if (common !== null) return common
    // S-7
    if (this.cseq?.method !== this.method) return isKnownMethod(this.method) ? 'cseq-method' : 'unknown-cseq-method'
    if (this.index[SI_MAX_FORWARDS] === malformed) return 'bad-max-forwards'
    if (this.has(SIP_H_CONTACT) && !this.contactValues.complete) return 'bad-contact'
    if (this.has(SIP_H_ROUTE) && !this.routeValues.complete) return 'bad-route'
    if (this.method === 'REGISTER' && !this.nameAddrs(SIP_H_PATH).complete) return 'bad-path'
    // S-11
    return uri === null ? 'unsupported-scheme' : null
  }
}

class ResponseView extends MessageView implements SipResponse {
  readonly kind = 'response'
  readonly status: number
  #reason: string | undefined

  constructor(octets: Buffer, index: readonly number[]) {
    super(octets, index)
    this.status = index[SI_STATUS]!
  }

  get reason(): string {
    this.#reason ??= this.text(this.index[SI_REASON]!, this.index[SI_REASON_LENGTH]!)
    return this.#reason
  }

  protected override findProblem(): SipProblem | null {
    return this.findCommonProblem()
  }
}

/**
 * A view of the message that `octets` are, as the kernel has indexed it. Octets without a start line of SIP count as a
 * request of no method (`not-sip`).
 */
export function viewOf(octets: Buffer, index: readonly number[]): SipMessage {
  return index[SI_KIND] === SIP_RESPONSE ? new ResponseView(octets, index) : new RequestView(octets, index)
}

import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Address } from '../../../src/ids.ts'
import { SCRATCH_OCTETS } from '../../../src/parser/kernel/record.ts'
import { compileKernel, createKernel } from '../../../src/parser/kernel.ts'
import { response } from '../../../src/parser/sip/encoder.ts'
import type { SipMessage, SipRequest, SipResponse } from '../../../src/parser/sip/message.ts'
import { createSipParser, SIP_WORK_OCTETS } from '../../../src/parser/sip/parse.ts'
import { TimerWheel } from '../../../src/sip/timer-wheel.ts'
import type { SipChannel } from '../../../src/sip/transactions/channel.ts'
import type { ClientUser, ServerEnding, ServerTransaction } from '../../../src/sip/transactions/transaction.ts'
import { TransactionLayer, type TransactionUser } from '../../../src/sip/transactions/transaction-layer.ts'
import { FakeTicker } from '../../support/fake-ticker.ts'

/** Pages of memory that the kernel is compiled to expect. */
const kernelPagesMin = 16
const scratch = 65_536 as Address
const work = ((scratch + SCRATCH_OCTETS + 15) & ~15) as Address
const memory = new WebAssembly.Memory({
  initial: Math.max(kernelPagesMin, Math.ceil((work + SIP_WORK_OCTETS + 64) / 65_536)),
  maximum: 65_536,
  shared: true,
})
const module = compileKernel(process.env.SILOPATH_KERNEL === 'debug' ? 'debug' : 'release')
const parser = createSipParser(createKernel(module, memory, scratch), work)

export function parse(text: string | Uint8Array): SipMessage {
  return parser.parseDatagram(typeof text === 'string' ? Buffer.from(text) : text)
}

/** What tests vary in a request. */
export interface RequestParts {
  readonly branch?: string | null
  readonly sentBy?: string
  readonly uri?: string
  readonly fromTag?: string
  readonly toTag?: string
  readonly callId?: string
  readonly cseq?: number
  /** Whole header lines more. */
  readonly more?: readonly string[]
}

let branches = 0

/** A branch that nobody has used. */
export function newBranch(): string {
  return `z9hG4bKtest${++branches}`
}

export function request(method: string, parts: RequestParts = {}): SipRequest {
  const {
    branch = newBranch(),
    sentBy = 'client.test:5060',
    uri = 'sip:bob@silo.test',
    cseq = 1,
    callId = 'c1',
  } = parts
  const message = parse(
    [
      `${method} ${uri} SIP/2.0`,
      `Via: SIP/2.0/UDP ${sentBy}${branch === null ? '' : `;branch=${branch}`}`,
      'Max-Forwards: 70',
      `From: "Alice" <sip:alice@silo.test>;tag=${parts.fromTag ?? 'a1'}`,
      `To: <sip:bob@silo.test>${parts.toTag === undefined ? '' : `;tag=${parts.toTag}`}`,
      `Call-ID: ${callId}`,
      `CSeq: ${cseq} ${method}`,
      ...(parts.more ?? []),
      'Content-Length: 0',
      '\r\n',
    ].join('\r\n'),
  )
  assert(message.kind === 'request')
  return message
}

/** The octets of a response to a request, with a To tag unless it is a 100. */
export function answer(to: SipRequest, status: number, toTag = 'b1'): Buffer {
  return response(to, status, `Test ${status}`, status === 100 ? {} : { toTag })
}

/** The same, as its client gets it. */
export function answered(to: SipRequest, status: number, toTag = 'b1'): SipResponse {
  const message = parse(answer(to, status, toTag))
  assert(message.kind === 'response')
  return message
}

/** What an octet string is called in tests: `INVITE`, `200`. */
export function nameOf(message: SipMessage): string {
  return message.kind === 'request' ? message.method : `${message.status}`
}

/** How many of these are still held by somebody. */
export async function held(things: readonly WeakRef<object>[]): Promise<number> {
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  await turn() // what has been reached in this turn is kept until its end
  collectGarbage()
  return things.filter((thing) => thing.deref() !== undefined).length
}

/** A channel that keeps what is sent, until it is told to break. */
export class FakeChannel implements SipChannel {
  readonly reliable: boolean
  works = true
  readonly #clock: FakeTicker
  readonly #start: number
  readonly #sent: { readonly at: number; readonly octets: Uint8Array }[] = []

  constructor(reliable: boolean, clock: FakeTicker) {
    this.reliable = reliable
    this.#clock = clock
    this.#start = clock.now()
  }

  send(octets: Uint8Array): boolean {
    if (this.works) this.#sent.push({ at: this.#clock.now() - this.#start, octets })
    return this.works
  }

  /** All messages sent so far, parsed; the next call tells only of those sent since. */
  take(): SipMessage[] {
    return this.#sent.splice(0).map(({ octets }) => parse(octets))
  }

  /** The same as they were sent. */
  takeOctets(): Buffer[] {
    return this.#sent.splice(0).map(({ octets }) => Buffer.from(octets))
  }

  /** The same, by name. */
  names(): string[] {
    return this.take().map(nameOf)
  }

  /** The same as [ms since the channel was made, name]. */
  times(): [at: number, name: string][] {
    return this.#sent.splice(0).map(({ at, octets }) => [at, nameOf(parse(octets))])
  }
}

/** A client user that writes down what it hears. */
export class ClientLog implements ClientUser {
  readonly heard: string[] = []

  response(message: SipResponse): void {
    this.heard.push(`${message.status}`)
  }

  timedOut(): void {
    this.heard.push('timedOut')
  }

  transportError(): void {
    this.heard.push('transportError')
  }

  terminated(): void {
    this.heard.push('terminated')
  }

  /** What was heard since the last call. */
  take(): string[] {
    return this.heard.splice(0)
  }
}

/** The user of a layer, that writes down what it gets. */
export class UserLog implements TransactionUser {
  readonly requests: { readonly request: SipRequest; readonly server: ServerTransaction }[] = []
  readonly acks: SipRequest[] = []
  readonly cancels: {
    readonly request: SipRequest
    readonly server: ServerTransaction
    readonly invite: ServerTransaction | null
  }[] = []
  readonly endings: ServerEnding[] = []

  request(request: SipRequest, server: ServerTransaction): void {
    this.#watch(server)
    this.requests.push({ request, server })
  }

  ack(request: SipRequest): void {
    this.acks.push(request)
  }

  cancel(request: SipRequest, server: ServerTransaction, invite: ServerTransaction | null): void {
    this.#watch(server)
    this.cancels.push({ request, server, invite })
  }

  #watch(server: ServerTransaction): void {
    server.user = { terminated: (ending) => this.endings.push(ending) }
  }
}

/** A layer on a clock of its own, with the default timers. */
export class Bench {
  readonly clock = new FakeTicker()
  readonly wheel = new TimerWheel(this.clock)
  readonly user = new UserLog()
  readonly layer: TransactionLayer

  constructor(maxTransactions = 100_000) {
    this.layer = new TransactionLayer({ wheel: this.wheel, user: this.user, maxTransactions })
  }

  channel(reliable: boolean): FakeChannel {
    return new FakeChannel(reliable, this.clock)
  }

  /** Receives a new request, and gives what the user gets. */
  serve(message: SipRequest, channel: SipChannel): ServerTransaction {
    const before = this.user.requests.length
    this.layer.receive(message, channel)
    const arrived = this.user.requests[before]
    assert(arrived !== undefined && this.user.requests.length === before + 1, 'not a new request')
    assert(arrived.request === message)
    return arrived.server
  }

  /** Whether nothing is left of any transaction. */
  get empty(): boolean {
    return (
      this.layer.size === 0 && this.wheel.size === 0 && Object.values(this.layer.counters.open).every((n) => n === 0)
    )
  }
}

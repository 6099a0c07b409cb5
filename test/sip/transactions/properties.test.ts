import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SipRequest } from '../../../src/parser/sip/message.ts'
import type { SipChannel } from '../../../src/sip/transactions/channel.ts'
import type { ClientTransaction, ServerTransaction } from '../../../src/sip/transactions/transaction.ts'
import { answer, answered, Bench, nameOf, newBranch, parse, request } from './support.ts'

/*
 * Whatever happens to a transaction, in whatever order and at whatever time, its trace is a sentence of a grammar that is
 * written straight from the rules, and it leaves nothing behind. A trace has a letter for each thing that happens:
 *
 *   clients   I R A   sends INVITE, another request, ACK; i r a: tries to, and fails
 *             p s f   a response comes: 1xx, 2xx, 300-699 (non-INVITE: f for every final one)
 *             P S F   the user hears of it; T timedOut, E transportError, X terminated
 *   servers   0 1 2 3 sends, or tries to send, 100, 101-199, 2xx, 300-699 (non-INVITE: 2 for every final one)
 *             c k K   a copy of the request comes; an ACK comes; the user hears of the ACK
 *             -       the user's response is ignored; X the user hears that the transaction has ended
 *
 * A non-INVITE transaction over UDP has ended for its user with the final response, and is forgotten by Timers J and K.
 */

/** How late a timer may run out, ms: a tick of the wheel. */
const tickMs = 10

/** What commands know beforehand: a copy that comes when the transaction is forgotten would be a new request. */
interface Model {
  over: boolean
}

/** One transaction, and what has happened to it. */
abstract class Trial {
  readonly bench = new Bench()
  readonly channel: SipChannel
  works = true
  trace = ''
  /** When a non-INVITE transaction had its final response, ms since the epoch; null when somebody has ended it. */
  answeredAt: number | null = null

  constructor(reliable: boolean) {
    this.channel = { reliable, send: (octets) => this.#send(octets) }
  }

  /** The letter of a message that is sent. */
  abstract letterOf(octets: Uint8Array): string
  /** What every trace is. */
  abstract readonly grammar: RegExp
  /** Timer J or K over UDP, ms; null: INVITE. */
  readonly lingersMs: number | null = null
  abstract readonly transaction: ClientTransaction | ServerTransaction

  #send(octets: Uint8Array): boolean {
    const letter = this.letterOf(octets)
    this.trace += this.works ? letter : letter.toLowerCase()
    return this.works
  }

  terminate(): void {
    this.transaction.terminate()
    this.answeredAt = null
  }

  check(): void {
    const { state } = this.transaction
    expect(this.trace).toMatch(this.grammar)
    expect(this.bench.empty).toBe(state === 'terminated')
    if (this.lingersMs === null || state === 'trying' || state === 'proceeding') return
    if (!this.channel.reliable && this.answeredAt !== null) {
      const since = this.bench.clock.now() - this.answeredAt
      if (since < this.lingersMs) expect(state).toBe('completed')
      else if (since >= this.lingersMs + tickMs) expect(state).toBe('terminated')
      const { transaction } = this
      if (transaction.kind === 'non-invite-server') expect(() => transaction.request).toThrow('forgotten')
    } else expect(state).toBe('terminated')
  }
}

/** Something that happens to a trial. */
class Happening<Real extends Trial> implements fc.Command<Model, Real> {
  readonly #name: string
  readonly #happen: (real: Real) => void
  readonly #afterTheEnd: boolean

  constructor(name: string, happen: (real: Real) => void, afterTheEnd = true) {
    this.#name = name
    this.#happen = happen
    this.#afterTheEnd = afterTheEnd
  }

  check(model: Readonly<Model>): boolean {
    return this.#afterTheEnd || !model.over
  }

  run(model: Model, real: Real): void {
    this.#happen(real)
    real.check()
    model.over = real.transaction.state === 'terminated'
  }

  toString(): string {
    return this.#name
  }
}

function always<Real extends Trial>(name: string, happen: (real: Real) => void, afterTheEnd = true) {
  return fc.constant(new Happening<Real>(name, happen, afterTheEnd))
}

function wait<Real extends Trial>(): fc.Arbitrary<Happening<Real>>[] {
  const delay = fc.oneof(fc.nat({ max: 700 }), fc.nat({ max: 12_000 }), fc.constantFrom(200, 3500, 5000, 32_000))
  return [
    delay.map((ms) => new Happening<Real>(`wait(${ms})`, ({ bench }) => bench.clock.advance(ms))),
    fc.boolean().map((works) => new Happening<Real>(works ? 'mend' : 'break', (real) => (real.works = works))),
  ]
}

/** Lets these things happen to trials over both kinds of channels, and looks at what is left in the end. */
function explore<Real extends Trial>(
  make: (reliable: boolean, works: boolean) => Real,
  happenings: fc.Arbitrary<Happening<Real>>[],
  atEnd: (real: Real) => void = () => {},
): void {
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.boolean(),
      fc.commands([...happenings, ...wait<Real>()], { maxCommands: 40 }),
      (reliable, works, commands) => {
        const real = make(reliable, works)
        fc.modelRun(() => ({ model: { over: false }, real }), commands)
        atEnd(real)
        real.bench.clock.advance(70_000)
        real.check()
        // Only INVITEs that are being answered wait without end: for Timer C, or for their callee.
        if (real.transaction.state === 'proceeding') {
          expect(real.transaction.kind).toMatch(/^invite/)
          real.terminate()
          real.check()
        }
        expect(real.bench.empty).toBe(true)
        expect(real.trace.match(/X/g)).toHaveLength(1)
        const { trace } = real
        real.bench.clock.advance(70_000)
        expect(real.trace).toBe(trace)
      },
    ),
    { numRuns: 150 },
  )
}

abstract class ClientTrial extends Trial {
  readonly #request: SipRequest
  override readonly transaction: ClientTransaction

  constructor(method: string, reliable: boolean, works: boolean) {
    super(reliable)
    this.works = works
    this.#request = request(method)
    this.transaction = this.bench.layer.sendRequest(this.#request, this.channel, {
      response: ({ status }) => {
        this.trace += this.letterOfStatus(status).toUpperCase()
        if (status >= 200) this.answeredAt = this.bench.clock.now()
      },
      timedOut: () => (this.trace += 'T'),
      transportError: () => (this.trace += 'E'),
      terminated: () => (this.trace += 'X'),
    })
  }

  abstract letterOfStatus(status: number): string

  receive(status: number): void {
    this.trace += this.letterOfStatus(status)
    this.bench.layer.receive(answered(this.#request, status), this.channel)
  }
}

function clientHappenings<Real extends ClientTrial>(): fc.Arbitrary<Happening<Real>>[] {
  const status = fc.oneof(
    fc.constantFrom(100, 180, 200, 202, 300, 408, 486, 503, 603),
    fc.integer({ min: 100, max: 699 }),
  )
  const receive = status.map((code) => new Happening<Real>(`receive(${code})`, (real) => real.receive(code)))
  return [
    receive,
    receive,
    receive,
    always('transportFailed', (real) => real.transaction.transportFailed()),
    fc.constant(new Happening<Real>('terminate', (real) => real.terminate())),
  ]
}

class InviteClientTrial extends ClientTrial {
  override get grammar(): RegExp {
    return this.channel.reliable
      ? /^(?:i[psf]*E?X?|I(?:TX|(?:pP)*(?:EX|X|sS(?:sS|[pf])*X?|f[Aa]FX)?))[psf]*$/
      : /^(?:i[psf]*E?X?|I+(?:iEX|TX|(?:pP)*(?:EX|X|sS(?:sS|[pf])*X?|faFX|fAF(?:fA|[ps])*(?:fa)?X?)?))[psf]*$/
  }

  override letterOf(octets: Uint8Array): string {
    return nameOf(parse(octets))[0]!
  }

  override letterOfStatus(status: number): string {
    return status < 200 ? 'p' : status < 300 ? 's' : 'f'
  }
}

class NonInviteClientTrial extends ClientTrial {
  override readonly lingersMs = 5000

  override get grammar(): RegExp {
    return this.channel.reliable
      ? /^(?:r[pf]*E?X?|R(?:pP)*(?:EX|TX|X|fFX)?)[pf]*$/
      : /^(?:r[pf]*E?X?|R(?:R|pP)*(?:r?EX|TX|X|fFX)?)[pf]*$/
  }

  override letterOf(): string {
    return 'R'
  }

  override letterOfStatus(status: number): string {
    return status < 200 ? 'p' : 'f'
  }
}

abstract class ServerTrial extends Trial {
  readonly request: SipRequest
  override readonly transaction: ServerTransaction
  readonly #copy: SipRequest
  readonly #ack: SipRequest
  readonly began: number
  /** When a 100 was sent, ms after the request. */
  readonly tryings: number[] = []

  constructor(method: string, reliable: boolean, works: boolean) {
    super(reliable)
    this.works = works
    const parts = { branch: newBranch() }
    this.request = request(method, parts)
    this.#copy = request(method, parts)
    this.#ack = request('ACK', { ...parts, toTag: 'b1' })
    this.began = this.bench.clock.now()
    this.transaction = this.bench.serve(this.request, this.channel)
    this.transaction.user = { terminated: () => (this.trace += 'X') }
    this.bench.user.ack = () => (this.trace += 'K')
  }

  abstract letterOfStatus(status: number): string

  override letterOf(octets: Uint8Array): string {
    const status = Number(nameOf(parse(octets)))
    if (status === 100) this.tryings.push(this.bench.clock.now() - this.began)
    return this.letterOfStatus(status)
  }

  respond(status: number): void {
    if (this.transaction.respond(answer(this.request, status), status) === 'ignored') this.trace += '-'
    else if (status >= 200) this.answeredAt = this.bench.clock.now()
  }

  copy(): void {
    this.trace += 'c'
    this.bench.layer.receive(this.#copy, this.channel)
    expect(this.bench.user.requests).toHaveLength(1)
  }

  ack(): void {
    this.trace += 'k'
    this.bench.layer.receive(this.#ack, this.channel)
  }
}

function serverHappenings<Real extends ServerTrial>(): fc.Arbitrary<Happening<Real>>[] {
  const status = fc.oneof(
    fc.constantFrom(100, 180, 200, 202, 300, 408, 486, 503, 603),
    fc.integer({ min: 100, max: 699 }),
  )
  return [
    status.map((code) => new Happening<Real>(`respond(${code})`, (real) => real.respond(code))),
    always('copy', (real) => real.copy(), false),
    always('copy', (real) => real.copy(), false),
    fc.constant(new Happening<Real>('terminate', (real) => real.terminate())),
  ]
}

class InviteServerTrial extends ServerTrial {
  override get grammar(): RegExp {
    return this.channel.reliable
      ? /^[ck]*(?:[01](?:c[01]|[01k])*)?(?:X|2(?:2|c|kK|-)*X?|3(?:c3|-)*k?X?)?-*$/
      : /^[ck]*(?:[01](?:c[01]|[01k])*)?(?:X|2(?:2|c|kK|-)*X?|3(?:c3|3|-)*(?:k[ck-]*)?X?)?-*$/
  }

  override letterOfStatus(status: number): string {
    return status === 100 ? '0' : `${Math.min(Math.trunc(status / 100), 3)}`
  }
}

class NonInviteServerTrial extends ServerTrial {
  override readonly lingersMs = 32_000

  override get grammar(): RegExp {
    return this.channel.reliable
      ? /^[c-]*(?:0(?:c0|[0-])*)?(?:2?X)?-*$/
      : /^[c-]*(?:0(?:c0|[0-])*)?(?:X|2X(?:c2|-)*)?-*$/
  }

  override letterOfStatus(status: number): string {
    expect(status).not.toBe(408) // S-36
    return status === 100 ? '0' : status < 200 ? '1' : '2'
  }
}

describe('whatever happens', () => {
  it('an INVITE client keeps to S-32 and S-35, and leaves nothing behind', () => {
    explore((reliable, works) => new InviteClientTrial('INVITE', reliable, works), clientHappenings())
  })

  it('a non-INVITE client keeps to S-34, and leaves nothing behind', () => {
    explore((reliable, works) => new NonInviteClientTrial('MESSAGE', reliable, works), clientHappenings())
  })

  it('an INVITE server keeps to S-33 and S-35, and leaves nothing behind', () => {
    explore(
      (reliable, works) => new InviteServerTrial('INVITE', reliable, works),
      [...serverHappenings<InviteServerTrial>(), always<InviteServerTrial>('ack', (real) => real.ack(), false)],
    )
  })

  it('a non-INVITE server answers finally at most once, keeps to S-34 and S-36, and leaves nothing behind', () => {
    explore(
      (reliable, works) => new NonInviteServerTrial('MESSAGE', reliable, works),
      serverHappenings(),
      ({ bench, began, channel, transaction, tryings }) => {
        const waited = bench.clock.now() - began
        if (!channel.reliable) for (const at of tryings) expect(at).toBeGreaterThanOrEqual(3500)
        if (transaction.state === 'trying') expect(waited).toBeLessThan(3510)
        if (transaction.state === 'trying' || transaction.state === 'proceeding') expect(waited).toBeLessThan(32_010)
      },
    )
  })
})

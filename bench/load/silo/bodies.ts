import { Payload } from '../payload.ts'
import { readDigits, SEQUENCE_DIGITS, USER_DIGITS } from '../sip/messages.ts'

/** Owner, a dot and a number. */
export const BODY_HEAD = USER_DIGITS + 1 + SEQUENCE_DIGITS

/** Bodies that say what they are, and can be checked octet for octet. */
export class Bodies {
  readonly #payload: Payload
  readonly #size: number

  constructor(size: number) {
    this.#size = size
    this.#payload = new Payload(size - BODY_HEAD)
  }

  /** @param who whom the numbers are counted for */
  text(who: number, sequence: number): string {
    const head = `${String(who).padStart(USER_DIGITS, '0')}.${sequence}`
    return head + this.#payload.body(who, sequence).toString('latin1')
  }

  /** The number of a body that is as it was sent, -1 of any other. */
  sequenceIn(body: Buffer, who: number): number {
    const { who: named, sequence } = labelOf(body)
    if (body.length !== this.#size || named !== who || sequence < 0) return -1
    const rest = this.#payload.body(who, sequence)
    return body.compare(rest, 0, rest.length, BODY_HEAD) === 0 ? sequence : -1
  }
}

/** What a body says of itself; -1 where it says nothing. */
export const labelOf = (body: Uint8Array): { readonly who: number; readonly sequence: number } => ({
  who: readDigits(body, 0, USER_DIGITS),
  sequence: readDigits(body, USER_DIGITS + 1, SEQUENCE_DIGITS),
})

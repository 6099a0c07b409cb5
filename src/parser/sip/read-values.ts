import assert from 'node:assert/strict'
import {
  SI_FROM_TAG,
  SI_FROM_URI,
  SI_VIA_BRANCH,
  SI_VIA_BRANCH_LENGTH,
  SI_VIA_HOST,
  SI_VIA_HOST_LENGTH,
  SI_VIA_PORT,
  SI_VIA_RPORT_LENGTH,
  SI_VIA_SPECIAL,
  SIP_H_VIA,
} from '../kernel/sip-record.ts'
import type { Params } from './params.ts'
import { parseSipUri, readHost, type SipUri } from './uri.ts'
import { type NameAddr, parseNameAddr, parseVia, type Via } from './values.ts'

// Values that the kernel has read (SI_READ): what nearly everybody asks of them is cut out where it says, and the rest is read
// when somebody wants it.

/** The message that a value is of. */
interface Source {
  readonly index: readonly number[]
  /** Octets of the head, as text. */
  text(start: number, length: number): string
  /** The first value line of a header. */
  firstOf(id: number): string | null
}

/** From or To. */
export class ReadNameAddr implements NameAddr {
  readonly #source: Source
  readonly #id: number
  readonly #first: number
  #uri: SipUri | null | undefined
  #whole: NameAddr | undefined

  /**
   * @param id of the header
   * @param first word of the index that tells of it, in the order of those of From
   */
  constructor(source: Source, id: number, first: number) {
    this.#source = source
    this.#id = id
    this.#first = first
  }

  get uri(): SipUri | null {
    if (this.#uri === undefined) this.#uri = parseSipUri(this.uriText)
    return this.#uri
  }

  get uriText(): string {
    return this.#cut(this.#first)
  }

  get tag(): string | null {
    const tag = this.#cut(this.#first + SI_FROM_TAG - SI_FROM_URI)
    return tag === '' ? null : tag
  }

  get displayName(): string | null {
    return this.#read().displayName
  }

  get params(): Params {
    return this.#read().params
  }

  get text(): string {
    return this.#read().text
  }

  #cut(word: number): string {
    const { index } = this.#source
    return this.#source.text(index[word]!, index[word + 1]!)
  }

  #read(): NameAddr {
    this.#whole ??= parseNameAddr(this.#source.firstOf(this.#id) ?? '') ?? misread()
    return this.#whole
  }
}

/** The topmost Via, in a line of its own. */
export class ReadVia implements Via {
  readonly host: string
  readonly branch: string | null
  readonly #source: Source
  #whole: Via | undefined

  constructor(source: Source) {
    const { index } = source
    this.#source = source
    this.host = readHost(source.text(index[SI_VIA_HOST]!, index[SI_VIA_HOST_LENGTH]!)) ?? misread()
    const branch = index[SI_VIA_BRANCH_LENGTH]!
    this.branch = branch === 0 ? null : source.text(index[SI_VIA_BRANCH]!, branch)
  }

  get port(): number | null {
    return this.#source.index[SI_VIA_PORT]! || null
  }

  get rport(): Via['rport'] {
    if (this.#isSpecial) return this.#read().rport
    return this.#source.index[SI_VIA_RPORT_LENGTH] === 0 ? null : 'asked'
  }

  get maddr(): string | null {
    return this.#isSpecial ? this.#read().maddr : null
  }

  get protocol(): string {
    return this.#read().protocol
  }

  get params(): Params {
    return this.#read().params
  }

  get text(): string {
    return this.#read().text
  }

  get #isSpecial(): boolean {
    return this.#source.index[SI_VIA_SPECIAL] === 1
  }

  #read(): Via {
    this.#whole ??= parseVia(this.#source.firstOf(SIP_H_VIA) ?? '') ?? misread()
    return this.#whole
  }
}

function misread(): never {
  assert.fail('the kernel has read what is none')
}

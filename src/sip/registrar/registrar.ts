import type { LaneIndex } from '../../ids.ts'
import { response } from '../../parser/sip/encoder.ts'
import type { SipRequest } from '../../parser/sip/message.ts'
import type { SipUri } from '../../parser/sip/uri.ts'
import type { Flow } from '../../store/location-store.ts'
import type { SipStream } from '../endpoint.ts'
import { isSecureTransport } from '../identity.ts'
import { randomToken } from '../proxy/branch.ts'
import type { ServerTransaction } from '../transactions/transaction.ts'
import type { RegisterAnswer } from './location.ts'
import { type RegisterRequest, type RegisterSource, registerRequestOf } from './register-request.ts'

/** Extensions that a REGISTER may require of us (S-60, S-68, S-69). */
const supported: readonly string[] = ['path', 'outbound']

export interface RegistrarOptions {
  readonly lane: LaneIndex
  /** Names this run of the process, see ConnectionFlow. */
  readonly epoch: string
  /** Asks the location service, in whatever thread it is. Never rejects. */
  readonly commit: (request: RegisterRequest) => Promise<RegisterAnswer>
  /** The AoR that a URI of ours stands for. */
  readonly aor: (uri: SipUri) => string
}

/** Answers REGISTERs for our domains once it is known who sends them (S-60, from step 5 on). */
export class Registrar {
  readonly #options: RegistrarOptions

  constructor(options: RegistrarOptions) {
    this.#options = options
  }

  /** Tags in Require that we do not know: the answer is 420. */
  unsupported(request: SipRequest): readonly string[] {
    return request.list('Require').filter((tag) => !supported.includes(tag.toLowerCase()))
  }

  /**
   * Registers, removes or lists the contacts of the AoR in To.
   * @param proved whether the sender has shown to be allowed to act for that AoR: its connection then is
   */
  async register(server: ServerTransaction, stream: SipStream, proved: boolean): Promise<void> {
    const { commit, aor } = this.#options
    const { request } = server
    const read = registerRequestOf(request, this.#source(stream), aor)
    if (!read.ok) {
      this.#answer(server, read.error.status, read.error.phrase, [])
      return
    }
    const answer = await commit(read.value)
    if (answer.status === 200 && proved) stream.prove(read.value.aor)
    this.#answer(server, answer.status, answer.reason, answer.headers)
  }

  #answer(server: ServerTransaction, status: number, reason: string, headers: RegisterAnswer['headers']): void {
    server.respond(response(server.request, status, reason, { toTag: randomToken(), headers }), status)
  }

  #source({ way }: SipStream): RegisterSource {
    const { lane, epoch } = this.#options
    const flow: Flow =
      way.connection !== 0
        ? { kind: 'connection', connection: way.connection, lane, epoch }
        : { kind: 'udp', listener: way.listener, address: way.address, port: way.port }
    return { flow, secure: isSecureTransport(way.transport), received: `${way.transport}:${way.address}:${way.port}` }
  }
}

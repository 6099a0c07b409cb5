import { Writable } from 'node:stream'
import { Registry } from 'prom-client'
import { type Admin, startAdmin } from '../../src/admin/http.ts'
import type { SiloAdmin } from '../../src/admin/silo.ts'
import type { MessageId } from '../../src/ids.ts'
import { createLogger } from '../../src/log.ts'
import { encodeRecord } from '../../src/store/silo-record.ts'
import type { SiloMessage, SiloStore } from '../../src/store/silo-store.ts'
import { MemorySilo } from '../silo/support/memory-silo.ts'
import { MemorySessions } from './memory-sessions.ts'

/** A message that lies in the silo for a long time. */
export const bobsMessage: SiloMessage = {
  owner: 'sip:bob@example.org',
  srcAddr: 'sip:alice@example.org',
  dstAddr: 'sip:bob@example.org',
  contentType: 'text/plain',
  body: Buffer.from('hello bob'),
  incTime: Date.UTC(2026, 0, 1),
  expTime: Date.UTC(2999, 0, 1),
  sndTime: 0,
  extraHeaders: '',
  callId: '',
  messageId: 'abcdefghijklmnopqrstuv',
}

export function put(store: SiloStore, change: Partial<SiloMessage> = {}): Promise<MessageId> {
  const message = { ...bobsMessage, ...change }
  const { owner, srcAddr, expTime, sndTime, body } = message
  return store
    .put({ record: encodeRecord(message), owner, srcAddr, expTime, sndTime, octets: body.length })
    .then((stored) => {
      if (!stored.ok) throw new Error(stored.error)
      return stored.value
    })
}

/** Makes a dead letter of the owner's oldest message. */
export async function kill(store: SiloStore, owner: string, reason: string): Promise<MessageId> {
  const claim = await store.claim(owner, 'phone', { now: Date.now(), leaseMs: 60_000, max: 1 })
  if (claim === null || claim === 'busy') throw new Error('nothing to claim')
  const { id } = claim.messages[0]!
  await store.settle(claim.token, id, { kind: 'dead', reason })
  store.release(claim.token)
  return id
}

/** An admin server with a silo. */
export class SiloAdminServer {
  readonly store = new MemorySilo()
  /** Ids of messages that were to be sent again. */
  readonly resent: number[] = []
  resendOutcome: Awaited<ReturnType<SiloAdmin['resend']>> = 'queued'
  log = ''
  #admin: Admin | undefined

  get url(): string {
    return this.#admin!.url
  }

  async start(silo: Partial<SiloAdmin> | null = {}): Promise<void> {
    this.#admin = await startAdmin({
      listen: { host: '127.0.0.1', port: 0 },
      registry: new Registry(),
      sessions: new MemorySessions(),
      silo: silo === null ? null : { ...this.#silo(), ...silo },
      readiness: () => 'ready',
      status: () => ({ version: '1', uptime_seconds: 1, lanes: 1, connections: 0, listeners: [] }),
      log: createLogger('info', 'json', new Writable({ write: (line, _, done) => done(void (this.log += line)) })),
    })
  }

  async close(): Promise<void> {
    await this.#admin?.close()
  }

  #silo(): SiloAdmin {
    return {
      store: this.store,
      resend: async (id) => {
        this.resent.push(id)
        return this.resendOutcome
      },
      expire: async () => {
        const swept = await this.store.sweep(Date.now(), 1_000)
        return swept.ok ? { ok: true, value: swept.value.length } : swept
      },
      statistics: () => ({ stored_messages: 3, dumped_messages: 2 }),
    }
  }
}

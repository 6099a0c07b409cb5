import { createHash } from 'node:crypto'
import type { SessionRecord } from '../../src/store/session-store.ts'

/** The record of a session whose session-id is made from `name`. */
export function sessionRecord(name: string | number, changes: Partial<SessionRecord> = {}): SessionRecord {
  return {
    version: 1,
    id: createHash('sha256').update(`session-id ${name}`).digest('hex').slice(0, 16),
    username: 'alice',
    connection: '192.0.2.7:40112',
    lane: 0,
    createdAt: Date.UTC(2026, 0, 1),
    expiresAt: Date.UTC(2026, 0, 1, 0, 30),
    framesFrom: 1,
    framesTo: 2,
    octetsFrom: 300,
    octetsTo: 400,
    ...changes,
  }
}

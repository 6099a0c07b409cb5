// Stores rows that come as lines of JSON (NDJSON), as the admin API gets them.
import type { Buffer } from 'node:buffer'
import type { Result } from '../../errors.ts'
import type { MessageId } from '../../ids.ts'
import { encodeRecord } from '../../store/silo-record.ts'
import type { PutFailure, SiloMessage, SiloStore } from '../../store/silo-store.ts'
import { messageOf, type RowRefusal, rowOf } from '../table.ts'
import { ColumnNames } from './column-names.ts'
import { fieldsOfJson } from './json.ts'

/** A row that was not stored. */
export interface RefusedRow {
  /** Counted from 1. */
  readonly line: number
  /** After `overloaded` and `unavailable` it may be tried again. */
  readonly reason: RowRefusal['reason'] | PutFailure
  readonly detail: string
}

export interface ImportOutcome {
  readonly stored: number
  /** By line. */
  readonly refused: readonly RefusedRow[]
}

/** Octets that are imported at once; many times make an import of any size. */
export const importOctetsMax = 16 * 2 ** 20

const ownNames = new ColumnNames()
const lineFeed = 0x0a

/**
 * Stores the rows; resolves when they are safe. Messages of one owner keep their order: when the store has no room
 * for one of them or fails, those behind it are not tried, and are refused for the same reason.
 */
export async function importLines(store: SiloStore, lines: Buffer, now: number): Promise<ImportOutcome> {
  const refused: RefusedRow[] = []
  let stored = 0
  const byOwner = new Map<string, { readonly line: number; readonly message: SiloMessage }[]>()
  let line = 0
  for (const octets of linesOf(lines)) {
    line += 1
    const message = messageOfLine(octets, now)
    if (!message.ok) refused.push({ line, ...message.error })
    else {
      const ofOwner = byOwner.get(message.value.owner)
      if (ofOwner === undefined) byOwner.set(message.value.owner, [{ line, message: message.value }])
      else ofOwner.push({ line, message: message.value })
    }
  }
  const storeInOrder = async (messages: readonly { readonly line: number; readonly message: SiloMessage }[]) => {
    let stop: PutFailure | null = null
    for (const { line, message } of messages) {
      const put: Result<MessageId, PutFailure> =
        stop === null ? await store.put(newMessageOf(message)) : { ok: false, error: stop }
      if (put.ok) stored += 1
      else {
        refused.push({ line, reason: put.error, detail: details[put.error] })
        if (put.error === 'overloaded' || put.error === 'unavailable') stop = put.error
      }
    }
  }
  await Promise.all([...byOwner.values()].map(storeInOrder))
  return { stored, refused: refused.sort((a, b) => a.line - b.line) }
}

const details: Readonly<Record<PutFailure, string>> = {
  'over-messages': 'its owner has as many messages as one may have (silo.max_messages)',
  'over-octets': 'its owner has as many octets as one may have (silo.max_octets)',
  'over-share': 'its owner has as many messages of its sender as one may have (silo.max_per_sender)',
  overloaded: 'too many messages wait to be written',
  unavailable: 'the disk failed, see the log of the server',
}

function messageOfLine(octets: Buffer, now: number): Result<SiloMessage, RowRefusal> {
  const fields = fieldsOfJson(octets, ownNames)
  const row = typeof fields === 'string' ? ({ ok: false, error: fields } as const) : rowOf(fields)
  return row.ok ? messageOf(row.value, now) : { ok: false, error: { reason: 'malformed', detail: row.error } }
}

function newMessageOf(message: SiloMessage) {
  const { owner, srcAddr, expTime, sndTime, body } = message
  return { record: encodeRecord(message), owner, srcAddr, expTime, sndTime, octets: body.length }
}

function* linesOf(octets: Buffer): Generator<Buffer> {
  for (let at = 0; at < octets.length; ) {
    const end = octets.indexOf(lineFeed, at)
    yield octets.subarray(at, end < 0 ? octets.length : end)
    at = end < 0 ? octets.length : end + 1
  }
}

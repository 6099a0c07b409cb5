import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { rewrite } from '../../../src/parser/sip/encoder.ts'
import { answerOf } from '../../../src/parser/sip/problem.ts'
import { parseSip } from '../../support/sip-parser.ts'
import { referenceMessage, referenceStream } from '../../support/sip-reference-reader.ts'
import { snapshotOf } from '../../support/sip-snapshot.ts'
import { readStream } from '../../support/sip-stream.ts'

interface Vector {
  readonly file: string
  readonly title: string
  readonly rules: readonly string[]
  readonly mode: 'datagram' | 'stream'
  readonly octets: number
  readonly sha256: string
  readonly answer?: number | 'drop' | 'drop-response'
  /** Parts of the snapshot, or of the events. */
  readonly expect: readonly object[]
}

const folder = join(import.meta.dirname, '../../vectors/sip')
const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as {
  count: number
  vectors: readonly Vector[]
}

/** The octets of a vector, after a check that nothing (an editor, a checkout) has changed them. */
function read({ file, octets, sha256 }: Vector): Buffer {
  const content = readFileSync(join(folder, file))
  expect(content.length, file).toBe(octets)
  expect(createHash('sha256').update(content).digest('hex'), file).toBe(sha256)
  return content
}

test('every vector is in the index, and there are as many as there were', () => {
  const files = readdirSync(folder).filter((file) => file !== 'index.json')
  expect(files.sort()).toEqual(index.vectors.map(({ file }) => file).sort())
  expect([index.count, index.vectors.length]).toEqual([122, 122])
})

describe('messages', () => {
  for (const vector of index.vectors.filter(({ mode }) => mode === 'datagram')) {
    test(`${vector.file} ${vector.title} (${vector.rules.join(', ')})`, () => {
      const octets = read(vector)
      const message = parseSip(octets)
      expect(snapshotOf(message)).toMatchObject(vector.expect[0]!)
      expect(snapshotOf(message)).toStrictEqual(referenceMessage(octets))
      expect(rewrite(message, {}).equals(message.octets)).toBe(true)
      if (message.problem === null) expect(vector.answer).toBeUndefined()
      else if (message.kind === 'request') {
        const answer = answerOf(message.problem)
        expect(answer === 'drop' ? answer : answer.status).toBe(vector.answer)
      } else expect(vector.answer).toMatch(/^drop/)
    })
  }
})

describe('streams, whole, cut at every octet, and octet by octet', () => {
  for (const vector of index.vectors.filter(({ mode }) => mode === 'stream')) {
    test(`${vector.file} ${vector.title} (${vector.rules.join(', ')})`, () => {
      const octets = read(vector)
      const events = readStream(octets, [])
      expect(events).toHaveLength(vector.expect.length)
      for (const [at, expected] of vector.expect.entries()) expect(events[at]).toMatchObject(expected)
      expect(events).toStrictEqual(referenceStream(octets))
      const everywhere = Array.from({ length: octets.length - 1 }, (_, i) => i + 1)
      for (const cut of everywhere) expect(readStream(octets, [cut]), `cut at ${cut}`).toStrictEqual(events)
      expect(readStream(octets, everywhere)).toStrictEqual(events)
      expect(
        readStream(
          octets,
          everywhere.flatMap((cut) => [cut, cut]),
        ),
      ).toStrictEqual(events)
    })
  }
})

import { describe, expect, it } from 'vitest'
import {
  type CredentialSource,
  type Lookup,
  SourceChain,
  StaticUsers,
  unavailable,
  unknown,
} from '../../src/auth/credentials.ts'
import { hashA1 } from '../../src/auth/digest.ts'

const realm = 'relay.test'
const md5 = hashA1('MD5', 'bob', realm, 'bobs secret')
const sha256 = hashA1('SHA-256', 'bob', realm, 'bobs secret')

const known = (username: string, secrets: readonly object[]) => ({ outcome: 'known', username, secrets })

describe('static users (D-14)', () => {
  it('with a password have it for every algorithm and realm', () => {
    const users = new StaticUsers([{ username: 'alice', password: 'secret' }])
    for (const algorithm of ['MD5', 'SHA-256', 'SHA-512-256'] as const) {
      expect(users.lookup('alice', realm, algorithm)).toEqual(known('alice', [{ password: 'secret' }]))
    }
  })

  it('with an HA1 have that one in small letters, and are known without a secret for other algorithms', () => {
    const users = new StaticUsers([
      { username: 'bob', ha1_md5: md5.toUpperCase() },
      { username: 'carol', ha1_sha256: sha256 },
    ])
    expect(users.lookup('bob', realm, 'MD5')).toEqual(known('bob', [{ ha1: md5 }]))
    expect(users.lookup('bob', realm, 'SHA-256')).toEqual(known('bob', []))
    expect(users.lookup('carol', realm, 'MD5')).toEqual(known('carol', []))
    expect(users.lookup('carol', realm, 'SHA-256')).toEqual(known('carol', [{ ha1: sha256 }]))
    expect(users.lookup('carol', realm, 'SHA-512-256')).toEqual(known('carol', []))
  })

  it('that do not exist are unknown, names of object properties too', () => {
    const users = new StaticUsers([{ username: 'alice', password: '' }])
    for (const name of ['', 'Alice', 'alice ', 'constructor', '__proto__'])
      expect(users.lookup(name, realm, 'MD5')).toEqual(unknown)
  })

  it('are refused when a name is listed twice, without telling the secret', () => {
    const twice = () =>
      new StaticUsers([
        { username: 'alice', password: 'hunter2' },
        { username: 'alice', ha1_md5: md5 },
      ])
    expect(twice).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining('alice') }),
    )
    expect(twice).not.toThrow(/hunter2/)
  })
})

describe('a chain of sources', () => {
  /** A source that always says the same, now or later, and tells who was asked about. */
  function source(answer: Lookup, later = false) {
    const asked: string[] = []
    let closed = false
    const made: CredentialSource = {
      lookup(username) {
        asked.push(username)
        return later ? Promise.resolve(answer) : answer
      },
      close() {
        closed = true
      },
    }
    return { ...made, asked, isClosed: () => closed }
  }
  const user = (password: string): Lookup => ({ outcome: 'known', username: 'alice', secrets: [{ password }] })

  it('answers at once as long as its sources do', () => {
    const chain = new SourceChain([source(unknown), source(user('first')), source(user('second'))])
    expect(chain.lookup('alice', realm, 'MD5')).toEqual(user('first'))
  })

  it.each([false, true])('lets the first that knows the user decide (later: %s)', async (later) => {
    const last = source(user('last'))
    const chain = new SourceChain([source(unknown), source(unknown, later), source(user('mine'), later), last])
    expect(await chain.lookup('alice', realm, 'MD5')).toEqual(user('mine'))
    expect(last.asked).toEqual([])
  })

  it.each([false, true])(
    'is unavailable where one that is asked is, and asks no further (later: %s)',
    async (later) => {
      const last = source(user('last'))
      const chain = new SourceChain([source(unknown), source(unavailable, later), last])
      expect(await chain.lookup('alice', realm, 'MD5')).toEqual(unavailable)
      expect(last.asked).toEqual([])
    },
  )

  it('knows nobody whom none of them knows', async () => {
    expect(new SourceChain([]).lookup('alice', realm, 'MD5')).toEqual(unknown)
    expect(await new SourceChain([source(unknown, true), source(unknown)]).lookup('a', realm, 'MD5')).toEqual(unknown)
  })

  it('closes all of them', () => {
    const sources = [source(unknown), source(unavailable)]
    new SourceChain(sources).close()
    expect(sources.map((one) => one.isClosed())).toEqual([true, true])
  })
})

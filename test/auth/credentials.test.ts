import { describe, expect, it } from 'vitest'
import { StaticUsers } from '../../src/auth/credentials.ts'
import { hashA1 } from '../../src/auth/digest.ts'

const realm = 'relay.test'
const md5 = hashA1('MD5', 'bob', realm, 'bobs secret')
const sha256 = hashA1('SHA-256', 'bob', realm, 'bobs secret')

describe('static users (D-14)', () => {
  it('with a password have an HA1 of every algorithm and realm', () => {
    const users = new StaticUsers([{ username: 'alice', password: 'secret' }])
    for (const algorithm of ['MD5', 'SHA-256', 'SHA-512-256'] as const) {
      expect(users.ha1('alice', realm, algorithm)).toBe(hashA1(algorithm, 'alice', realm, 'secret'))
    }
    expect(users.ha1('alice', 'other.test', 'MD5')).toBe(hashA1('MD5', 'alice', 'other.test', 'secret'))
  })

  it('with an HA1 have that one, and no other algorithm', () => {
    const users = new StaticUsers([
      { username: 'bob', ha1_md5: md5.toUpperCase() },
      { username: 'carol', ha1_sha256: sha256 },
    ])
    expect(users.ha1('bob', realm, 'MD5')).toBe(md5)
    expect(users.ha1('bob', realm, 'SHA-256')).toBeNull()
    expect(users.ha1('carol', realm, 'MD5')).toBeNull()
    expect(users.ha1('carol', realm, 'SHA-256')).toBe(sha256)
    expect(users.ha1('carol', realm, 'SHA-512-256')).toBeNull()
  })

  it('that do not exist have none, names of object properties too', () => {
    const users = new StaticUsers([{ username: 'alice', password: '' }])
    for (const name of ['', 'Alice', 'alice ', 'constructor', '__proto__'])
      expect(users.ha1(name, realm, 'MD5')).toBeNull()
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

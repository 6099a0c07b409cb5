import { createHmac } from 'node:crypto'
import { expect, it } from 'vitest'
import { unknown } from '../../src/auth/credentials.ts'
import { EphemeralUsers } from '../../src/auth/ephemeral.ts'
import { FakeClock } from './fake-clock.ts'

const secret = 'a secret of the web site'

function make(options: { secrets?: string[]; hmac?: 'SHA-256' | 'SHA-1' } = {}) {
  const clock = new FakeClock()
  const users = new EphemeralUsers({ secrets: [secret], hmac: 'SHA-256', ...options }, clock)
  const expiry = clock.now() / 1000 + 60
  return { clock, users, username: `${expiry}:alice` }
}

it('a username with an expiry has base64(HMAC(secret, username)) as its password, and its name behind it', () => {
  const { users, username } = make()
  const password = createHmac('sha256', secret).update(username).digest('base64')
  expect(users.lookup(username)).toEqual({ outcome: 'known', username: 'alice', secrets: [{ password }] })
})

it('the password of SHA-1 is that of TURN servers', () => {
  const { users, username } = make({ hmac: 'SHA-1' })
  const password = createHmac('sha1', secret).update(username).digest('base64')
  expect(users.lookup(username)).toMatchObject({ secrets: [{ password }] })
})

it('any of several secrets is good, so that they can be changed', () => {
  const secrets = ['the secret of last year', 'the secret of this year']
  const { users, username } = make({ secrets })
  const passwords = secrets.map((one) => createHmac('sha256', one).update(username).digest('base64'))
  expect(users.lookup(username)).toMatchObject({ secrets: passwords.map((password) => ({ password })) })
})

it('is good until its expiry, to the millisecond, and from then on a known user without a secret', () => {
  const { users, username, clock } = make()
  clock.advance(59_999)
  expect(users.lookup(username)).toMatchObject({ secrets: [{}] })
  clock.advance(1)
  expect(users.lookup(username)).toEqual({ outcome: 'known', username: 'alice', secrets: [] })
  expect(users.lookup('0:alice')).toEqual({ outcome: 'known', username: 'alice', secrets: [] })
})

it.each(['alice', ':alice', '99999999999:', '-1:alice', '1e9:alice', '99999999999:a:b', '9999999999999:alice', ''])(
  'other usernames are for other sources: %s',
  (username) => {
    expect(make().users.lookup(username)).toEqual(unknown)
  },
)

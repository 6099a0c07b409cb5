import { z } from 'zod'
import { control, count, day, httpUrl, notes, seconds } from './key.ts'

const hex = (digits: number) =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-fA-F]{${digits}}$`))
    .toLowerCase()

/** What can name a user: in the config, in a users file, in a claim of a token. */
export const usernamePattern = new RegExp(`^[^:${control}]{1,128}$`)

/** Most entries of `auth.users`, and of a users file: each lane has all of them in its heap. */
export const usersMax = 100_000

/** One user, of the config or of a users file. */
export const userKeys = z
  .strictObject({
    username: z
      .string()
      .regex(usernamePattern)
      .meta(notes('The name the user authenticates with.', { expects: 'text of 1 to 128 characters without a colon' })),
    password: z
      .string()
      .regex(new RegExp(`^[^${control}]{1,1024}$`))
      .exactOptional()
      .meta(
        notes('The password in the clear. Either this or ha1_md5 / ha1_sha256.', {
          expects: 'text (digits alone need quotes)',
          secret: true,
        }),
      ),
    ha1_md5: hex(32)
      .exactOptional()
      .meta(
        notes('MD5 of `username:realm:password` (D-14).', { expects: 'text of 32 hexadecimal digits', secret: true }),
      ),
    ha1_sha256: hex(64)
      .exactOptional()
      .meta(
        notes('SHA-256 of `username:realm:password` (D-14).', {
          expects: 'text of 64 hexadecimal digits',
          secret: true,
        }),
      ),
  })
  .superRefine(
    ({ password, ha1_md5, ha1_sha256 }, context) => {
      const hashed = ha1_md5 !== undefined || ha1_sha256 !== undefined
      if ((password !== undefined) === hashed) context.addIssue('either password, or ha1_md5 and/or ha1_sha256')
    },
    // A misspelt key is problem enough: that the right one is missing follows from it.
    { when: ({ issues }) => issues.length === 0 },
  )
  .meta(notes('A user who may obtain a relay session.', { secret: true }))

const http = z
  .strictObject({
    url: httpUrl('Where to ask for the secrets of a user: POST of a JSON object, see docs/auth.md.'),
    bearer_token: z
      .string()
      .regex(/^[A-Za-z0-9\-._~+/]{1,4096}=*$/)
      .exactOptional()
      .meta(
        notes('Sent as `Authorization: Bearer ...` with each question.', { expects: 'a bearer token', secret: true }),
      ),
    headers: z
      .array(
        z
          .strictObject({
            name: z
              .string()
              .regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$/)
              .meta(notes('The name of a header.', { expects: 'the name of an HTTP header' })),
            value: z
              .string()
              .regex(/^[\x20-\x7e]{1,4096}$/)
              .meta(notes('Its value.', { expects: 'text of printable ASCII', secret: true })),
          })
          .meta(notes('A header.', { secret: true })),
      )
      .max(16)
      .default([])
      .meta(
        notes('More headers of each question, such as an API key.', {
          expects: 'a list of at most 16 headers, each with `name` and `value`',
          secret: true,
        }),
      ),
    timeout: seconds(60)
      .default(2)
      .meta(notes('How long an answer may take, connecting included.', { unit: 's' })),
    max_concurrent: count(1, 256)
      .default(8)
      .meta(notes('Questions of one lane that are out at the same time.', { unit: 'questions' })),
    max_queue: count(0, 65_536)
      .default(1024)
      .meta(
        notes('Questions of one lane that wait for their turn; more are answered `unavailable`.', {
          unit: 'questions',
        }),
      ),
    positive_ttl: seconds(day)
      .default(60)
      .meta(notes('How long an answer about a user is used without asking again.', { unit: 's' })),
    negative_ttl: seconds(day)
      .default(5)
      .meta(notes('How long it is remembered that there is no such user.', { unit: 's' })),
    stale_ttl: seconds(30 * day)
      .default(3600)
      .meta(notes('How old an answer may be that is used while the endpoint is down.', { unit: 's' })),
    cache_size: count(1, 1_000_000)
      .default(10_000)
      .meta(notes('Answers that a lane remembers of each kind; the least recently used go.', { unit: 'answers' })),
    retry_after: seconds(3600)
      .default(5)
      .meta(notes('How long an endpoint is left alone that has failed five times in a row.', { unit: 's' })),
  })
  .exactOptional()
  .meta(notes('Ask an HTTP endpoint for users that nothing else here knows. Without this section nobody is asked.'))

const ephemeral = z
  .strictObject({
    secrets: z
      .array(
        z
          .string()
          .regex(new RegExp(`^[^${control}]{16,1024}$`))
          .meta(notes('A secret.', { expects: 'text of 16 to 1024 characters', secret: true })),
      )
      .min(1)
      .max(8)
      .meta(
        notes('Secrets shared with who gives out the credentials. All are good, so that one can follow another.', {
          expects: 'a list of 1 to 8 secrets of 16 to 1024 characters',
          secret: true,
        }),
      ),
    hmac: z
      .enum(['SHA-256', 'SHA-1'])
      .default('SHA-256')
      .meta(notes('The hash that passwords are made with; TURN servers use SHA-1.')),
  })
  .exactOptional()
  .meta(
    notes(
      'Take usernames `expiry:name` whose password is base64(HMAC(secret, username)), as TURN servers do; expiry is in seconds since 1970.',
    ),
  )

/** Algorithms of tokens, by the kind of key they are checked with. */
export const tokenAlgorithms = {
  secret: ['HS256', 'HS384', 'HS512'],
  public: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'],
} as const

const jwt = z
  .strictObject({
    secret: z
      .string()
      .regex(new RegExp(`^[^${control}]{32,1024}$`))
      .exactOptional()
      .meta(
        notes('The shared secret that tokens are signed with (HS256 ...).', {
          expects: 'text of 32 to 1024 characters',
          secret: true,
        }),
      ),
    public_key: z
      .string()
      .min(1)
      .exactOptional()
      .meta(
        notes('PEM file of the public key or certificate, relative to the folder of the config file.', {
          expects: 'a path',
        }),
      ),
    jwks_url: httpUrl('Where the public keys are published as a JSON Web Key Set.').exactOptional(),
    algorithms: z
      .array(z.enum([...tokenAlgorithms.secret, ...tokenAlgorithms.public]))
      .min(1)
      .max(13)
      .exactOptional()
      .meta(
        notes('Signatures that are taken; others are refused whatever the token says.', {
          expects: `a list of ${[...tokenAlgorithms.secret, ...tokenAlgorithms.public].join(', ')}`,
          default_note: 'HS256 with `secret`, else RS256, ES256 and EdDSA',
        }),
      ),
    issuer: z
      .string()
      .min(1)
      .exactOptional()
      .meta(notes('What the `iss` claim has to be.', { expects: 'text' })),
    audience: z
      .string()
      .min(1)
      .exactOptional()
      .meta(notes('What the `aud` claim has to be, or hold. Required with `jwks_url`.', { expects: 'text' })),
    username_claim: z
      .string()
      .min(1)
      .default('sub')
      .meta(notes('The claim that holds the username.', { expects: 'the name of a claim' })),
    clock_skew: z
      .number()
      .min(0)
      .max(3600)
      .default(30)
      .meta(notes('How far the clock of the issuer may be from ours.', { unit: 's' })),
    authz_server: httpUrl('Where clients get tokens: told to them with the challenge (RFC 8898).').exactOptional(),
    timeout: seconds(60)
      .default(5)
      .meta(notes('How long `jwks_url` may take to answer.', { unit: 's' })),
    cache_ttl: seconds(7 * day)
      .default(600)
      .meta(notes('How long keys from `jwks_url` are used without asking again.', { unit: 's' })),
    cooldown: seconds(day)
      .default(30)
      .meta(notes('How soon keys may be fetched again because a token names one that is not there.', { unit: 's' })),
    stale_ttl: seconds(30 * day)
      .default(day)
      .meta(notes('How old keys may be that are used while `jwks_url` is down.', { unit: 's' })),
  })
  .superRefine(
    ({ secret, public_key, jwks_url }, context) => {
      if ([secret, public_key, jwks_url].filter((key) => key !== undefined).length === 1) return
      context.addIssue('exactly one of secret, public_key and jwks_url')
    },
    { when: ({ issues }) => issues.length === 0 },
  )
  .exactOptional()
  .meta(
    notes('Take JSON Web Tokens in `Authorization: Bearer`. Without this section tokens are no credentials.', {
      secret: true,
    }),
  )

export const authKeys = z
  .strictObject({
    users: z
      .array(userKeys)
      .max(usersMax)
      .default([])
      .meta(
        notes('Users known here. Without any, and without another source below, every AUTH is refused.', {
          expects: `a list of at most ${usersMax} users, each with \`username\` and \`password\``,
          secret: true,
        }),
      ),
    users_file: z
      .string()
      .min(1)
      .exactOptional()
      .meta(
        notes(
          'File of more users, a JSON object a line with the keys of `users[]`, relative to the folder of the config file; read again when it changes.',
          { expects: 'a path' },
        ),
      ),
    ephemeral,
    http,
    jwt,
    algorithms: z
      .array(z.enum(['SHA-256', 'MD5']))
      .min(1)
      .max(2)
      .default(['SHA-256', 'MD5'])
      .meta(
        notes('Digest algorithms offered, most preferred first (D-8, D-12).', {
          kamailio: 'algorithm (auth)',
          expects: 'a list of SHA-256 and MD5, each at most once',
        }),
      ),
    nonce_lifetime: seconds(day)
      .default(300)
      .meta(
        notes('How long a nonce is accepted; later the client is told it is stale (D-13).', {
          unit: 's',
          kamailio: 'nonce_expire (auth)',
        }),
      ),
  })
  .prefault({})
  .meta(notes('Who may use the relay.'))

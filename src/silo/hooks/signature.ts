import { createHmac } from 'node:crypto'

export const signatureHeader = 'silopath-signature'

/**
 * Shows that a post comes from who knows the secret, and when it was made: `t=<seconds since 1970>,v1=<hex of
 * HMAC-SHA-256(secret, "<t>.<body>")>`.
 */
export function signatureOf(secret: string, body: string, now: number): string {
  const seconds = Math.floor(now / 1000)
  const digest = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')
  return `t=${seconds},v1=${digest}`
}

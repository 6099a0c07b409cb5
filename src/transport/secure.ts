import { readFileSync } from 'node:fs'
import { createSecureContext, rootCertificates, type SecureContextOptions } from 'node:tls'
import type { Config, ListenConfig } from '../config/schema.ts'
import { SilopathError } from '../errors.ts'

/** What a listener with TLS shows and asks for. */
export interface ServerCertificates {
  readonly cert: Buffer
  readonly key: Buffer
  /** CAs of client certificates; without, none is asked for. */
  readonly ca?: Buffer
  readonly requestCert: boolean
  readonly rejectUnauthorized: false
}

/**
 * Reads the certificate files of a listener.
 * @throws SilopathError CONFIG_INVALID
 */
export function readCertificates({ url, cert, key, client_ca }: ListenConfig): ServerCertificates {
  const read = (path: string | undefined, name: string) => readPem(path, `${name} of listener ${url}`)
  const certificates = {
    cert: read(cert, 'cert'),
    key: read(key, 'key'),
    ...(client_ca !== undefined && { ca: read(client_ca, 'client_ca') }),
    // a client may show that it is a relay; who shows nothing is a client.
    requestCert: client_ca !== undefined,
    rejectUnauthorized: false as const,
  }
  check(certificates, `cert, key and client_ca of listener ${url}`)
  return certificates
}

/**
 * What connections that we make trust and show: the well-known CAs and the operator's, and the certificate of our first
 * listener that has one, as relays know each other by it.
 * @throws SilopathError CONFIG_INVALID
 */
export function readClientContext({ tls, listen }: Config): SecureContextOptions {
  const own = listen.find(({ cert }) => cert !== undefined)
  const { cert, key } = own === undefined ? {} : readCertificates(own)
  const options = {
    ...(tls.ca !== undefined && { ca: [...rootCertificates, readPem(tls.ca, 'tls.ca').toString()] }),
    ...(cert !== undefined && { cert, key }),
  }
  check(options, 'tls.ca')
  return options
}

function readPem(path: string | undefined, what: string): Buffer {
  if (path === undefined) throw new SilopathError('CONFIG_INVALID', `${what} is missing. Remedy: name a PEM file`)
  let octets: Buffer
  try {
    octets = readFileSync(path)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const message = `${what}: ${path} cannot be read (${code}). Remedy: name a file that this user may read`
    throw new SilopathError('CONFIG_INVALID', message, { cause })
  }
  if (octets.includes('-----BEGIN ')) return octets
  throw new SilopathError(
    'CONFIG_INVALID',
    `${what}: ${path} is not PEM. Remedy: convert it (openssl x509, openssl pkey)`,
  )
}

/** OpenSSL's words name no secret, only what does not fit. */
function check(options: SecureContextOptions, what: string): void {
  try {
    createSecureContext(options)
  } catch (cause) {
    const { message } = cause as Error
    const remedy = 'Remedy: a certificate and the unencrypted private key that belongs to it'
    throw new SilopathError('CONFIG_INVALID', `${what} cannot be used (${message}). ${remedy}`, { cause })
  }
}

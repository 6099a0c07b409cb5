import type { Buffer } from 'node:buffer'
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

/** A certificate file that cannot be used, and the key that names it: of a listener, or `ca` of `tls`. */
export class CertificateError extends SilopathError {
  readonly key: CertificateKey

  constructor(key: CertificateKey, message: string, options?: ErrorOptions) {
    super('CONFIG_INVALID', message, options)
    this.key = key
  }
}

export type CertificateKey = 'cert' | 'key' | 'client_ca' | 'ca'

/**
 * Reads the certificate files of a listener.
 * @throws CertificateError
 */
export function readCertificates({ url, cert, key, client_ca }: ListenConfig): ServerCertificates {
  const nameOf = (name: CertificateKey) => `${name} of listener ${url}`
  const read = (path: string | undefined, name: CertificateKey) => readPem(path, name, nameOf(name))
  const certificates = {
    cert: read(cert, 'cert'),
    key: read(key, 'key'),
    ...(client_ca !== undefined && { ca: read(client_ca, 'client_ca') }),
    // a client may show that it is a relay; who shows nothing is a client.
    requestCert: client_ca !== undefined,
    rejectUnauthorized: false as const,
  }
  // One after the other: OpenSSL does not say which of them it means.
  check({ cert: certificates.cert }, 'cert', nameOf('cert'))
  check({ cert: certificates.cert, key: certificates.key }, 'key', nameOf('key'))
  if (certificates.ca !== undefined) check({ ca: certificates.ca }, 'client_ca', nameOf('client_ca'))
  return certificates
}

/**
 * What connections that we make trust and show: the well-known CAs and the operator's, and the certificate of our first
 * listener that has one, as relays know each other by it.
 * @throws CertificateError
 */
export function readClientContext({ tls, listen }: Config): SecureContextOptions {
  const own = listen.find(({ cert }) => cert !== undefined)
  const { cert, key } = own === undefined ? {} : readCertificates(own)
  const options = {
    ...(tls.ca !== undefined && { ca: [...rootCertificates, readPem(tls.ca, 'ca', 'tls.ca').toString()] }),
    ...(cert !== undefined && { cert, key }),
  }
  check(options, 'ca', 'tls.ca')
  return options
}

function readPem(path: string | undefined, key: CertificateKey, what: string): Buffer {
  if (path === undefined) throw new CertificateError(key, `${what} is missing. Remedy: name a PEM file`)
  let octets: Buffer
  try {
    octets = readFileSync(path)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const message = `${what}: ${path} cannot be read (${code}). Remedy: name a file that this user may read`
    throw new CertificateError(key, message, { cause })
  }
  if (octets.includes('-----BEGIN ')) return octets
  throw new CertificateError(key, `${what}: ${path} is not PEM. Remedy: convert it (openssl x509, openssl pkey)`)
}

/** OpenSSL's words name no secret, only what does not fit. */
function check(options: SecureContextOptions, key: CertificateKey, what: string): void {
  try {
    createSecureContext(options)
  } catch (cause) {
    const { message } = cause as Error
    const remedy = 'Remedy: a certificate and the unencrypted private key that belongs to it'
    throw new CertificateError(key, `${what} cannot be used (${message}). ${remedy}`, { cause })
  }
}

import type { Buffer } from 'node:buffer'
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { LineCounter, parseDocument } from 'yaml'
import { type KeyPath, keyName } from '../config/describe.ts'
import { type ConfigProblem, configError, formatProblems, loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { CertificateError, readCertificates, readClientContext } from '../transport/secure.ts'

/** What is wrong with the files that a key names. */
interface Finding {
  readonly path: KeyPath
  readonly message: string
}

/**
 * Checks a config file, and the files that it names, as a start would read them. What would not keep the server from
 * starting is a warning.
 *
 * @returns warnings, a line each with the place of its key
 * @throws SilopathError CONFIG_INVALID with all problems
 */
export async function checkConfig(file: string, now = Date.now()): Promise<string> {
  const loaded = await loadConfig(file)
  if (!loaded.ok) throw configError(loaded.error)
  const { problems, warnings } = checkCertificates(loaded.value, now)
  if (problems.length === 0 && warnings.length === 0) return ''
  const text = await readFile(file, 'utf8')
  if (problems.length > 0) throw configError(placed([...problems, ...warnings], text, file))
  return `${formatProblems(placed(warnings, text, file))}\n`
}

function checkCertificates(config: Config, now: number): { problems: Finding[]; warnings: Finding[] } {
  const problems: Finding[] = []
  const warnings: Finding[] = []
  for (const [i, listen] of config.listen.entries()) {
    if (listen.cert === undefined) continue
    try {
      const problem = validity(readCertificates(listen).cert, now)
      if (problem !== null) warnings.push({ path: ['listen', i, 'cert'], message: problem })
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error
      problems.push({ path: ['listen', i, error.key], message: error.message })
    }
  }
  // Connections that we make show the first listener's, which has been told of by now.
  if (problems.length > 0) return { problems, warnings }
  try {
    readClientContext(config)
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error
    problems.push({ path: ['tls', error.key], message: error.message })
  }
  return { problems, warnings }
}

/** Whether peers will take the certificate now; `octets` are PEM, the server's own certificate first. */
function validity(octets: Buffer, now: number): string | null {
  const { validFromDate, validToDate } = new X509Certificate(octets)
  if (now > validToDate.getTime()) return `warning: expired ${validToDate.toISOString()}. Remedy: renew the certificate`
  if (now >= validFromDate.getTime()) return null
  return `warning: valid from ${validFromDate.toISOString()} on only. Remedy: wait, or set the clock`
}

/** Where the file has these keys, in the order of the file. */
function placed(findings: readonly Finding[], text: string, file: string): ConfigProblem[] {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  const offsetOf = (path: KeyPath) => {
    const node = document.getIn(path, true) as { readonly range?: readonly [number, number, number] | null } | undefined
    return node?.range?.[0] ?? 0
  }
  return findings
    .map(({ path, message }) => ({ offset: offsetOf(path), message: `${keyName(path)}: ${message}` }))
    .sort((a, b) => a.offset - b.offset)
    .map(({ offset, message }) => {
      const { line, col } = lines.linePos(offset)
      return { file, position: { line, column: col }, message }
    })
}

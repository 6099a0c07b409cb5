import type { Result } from '../errors.ts'

/** What there is to know about a message by name, with what the names mean: Kamailio's pseudo-variables. */
const meanings = {
  ru: 'the Request-URI',
  rU: 'its user',
  rd: 'its domain',
  rp: 'its port',
  rP: 'its transport',
  ou: 'the Request-URI as the request came with it',
  oU: 'its user',
  od: 'its domain',
  fu: 'the URI of From',
  fU: 'its user',
  fd: 'its domain',
  fn: 'the display name of From',
  ft: 'the tag of From',
  tu: 'the URI of To',
  tU: 'its user',
  td: 'its domain',
  tn: 'the display name of To',
  tt: 'the tag of To',
  ai: 'the URI of P-Asserted-Identity',
  pu: 'the URI of P-Preferred-Identity',
  pU: 'its user',
  pd: 'its domain',
  ci: 'the Call-ID',
  cs: 'the number of CSeq',
  ct: 'Contact, whole',
  cT: 'Content-Type, whole',
  rm: 'the method',
  rb: 'the body',
  ua: 'User-Agent',
  si: 'the address that the request came from',
  sp: 'the port that it came from',
  pr: 'the transport that it came by',
  proto: 'the same',
  Ts: 'the time, in seconds since 1970',
  Tf: 'the time, as in `Mon Feb 19 18:42:27 2007`',
} as const

export type VariableName = keyof typeof meanings

/** What the variables of a text are asked of. Null: it has no such thing, which gives an empty text. */
export interface VariableSource {
  variable(name: VariableName): string | null
  /** `$hdr(Name)`: the first line of a header, in any case, by its long or compact name. */
  header(name: string): string | null
  /** `$avp(name)`: what a routing has left there. */
  avp(name: string): string | null
}

/** A text with pseudo-variables, ready to be filled in. */
export interface Template {
  /** There are no variables in it. */
  readonly constant: boolean
  /**
   * The text with the values in their places. A value comes from a peer: what control characters it has, ends of line
   * among them, give way to blanks, so that it cannot become a header, or two.
   */
  evaluate(of: VariableSource): string
}

export interface TemplateProblem {
  /** Where in the text, in UTF-16 units from 0. */
  readonly offset: number
  readonly message: string
}

/** More variables in one text are refused: each may stand for as much as a header line holds. */
const variablesMax = 64

/** What is longer is cut, in UTF-16 units: a body would be, too. */
const valueMax = 4096

const word = /\w+/y
const headerName = /^[\w\-.!%*+`'~]+$/
const controls = /[\u0000-\u001f\u007f]+/g

type Part = string | ((of: VariableSource) => string | null)

function isVariable(name: string): name is VariableName {
  return Object.hasOwn(meanings, name)
}

/** The name of an AVP: of `$avp(name)`, `$avp(s:name)`, `$avp(i:12)`, or of what stands in there. Null: it is none. */
export function avpName(text: string): string | null {
  const [, inner = text] = /^\$avp\((.*)\)$/s.exec(text) ?? []
  const [, name = null] = /^(?:s:)?((?:i:\d+)|[\w.-]+)$/.exec(inner) ?? []
  return name
}

/**
 * Reads a text: `$fU`, `$(fU)`, `$hdr(Name)`, `$(hdr(Name))`, `$avp(name)` stand for values, `$$` for a dollar. Anything
 * else after a dollar is a problem.
 */
export function compileText(text: string): Result<Template, TemplateProblem> {
  const parts: Part[] = []
  let literal = ''
  let variables = 0
  let at = 0
  for (;;) {
    const dollar = text.indexOf('$', at)
    literal += text.slice(at, dollar < 0 ? text.length : dollar)
    if (dollar < 0) break
    if (text[dollar + 1] === '$') {
      literal += '$'
      at = dollar + 2
      continue
    }
    const read = readVariable(text, dollar)
    if (!read.ok) return read
    if (++variables > variablesMax) {
      return { ok: false, error: { offset: dollar, message: `more than ${variablesMax} in one text` } }
    }
    if (literal !== '') parts.push(literal)
    literal = ''
    parts.push(read.value.part)
    at = read.value.end
  }
  if (literal !== '') parts.push(literal)
  return { ok: true, value: { constant: variables === 0, evaluate: (of) => fill(parts, of) } }
}

function fill(parts: readonly Part[], of: VariableSource): string {
  let text = ''
  for (const part of parts)
    text += typeof part === 'string' ? part : (part(of)?.slice(0, valueMax).replace(controls, ' ') ?? '')
  return text
}

/** Reads the variable whose dollar stands at `dollar`. */
function readVariable(
  text: string,
  dollar: number,
): Result<{ readonly part: Part; readonly end: number }, TemplateProblem> {
  const refuse = (message: string, offset = dollar) => ({ ok: false, error: { offset, message } }) as const
  const bracketed = text[dollar + 1] === '('
  const start = dollar + (bracketed ? 2 : 1)
  word.lastIndex = start
  const [name] = word.exec(text) ?? []
  if (name === undefined) return refuse('a dollar of its own is written $$')
  let end = start + name.length
  let part: Part
  if (name === 'hdr' || name === 'avp') {
    const close = text[end] === '(' ? text.indexOf(')', end) : -1
    if (close < 0) return refuse(`$${name} needs a name, $${name}(...)`)
    const argument = text.slice(end + 1, close)
    const given = name === 'avp' ? avpName(argument) : headerName.test(argument) ? argument : null
    if (given === null) return refuse(`$${name}(${argument}) has no name that there can be`, end + 1)
    part = name === 'hdr' ? (of) => of.header(given) : (of) => of.avp(given)
    end = close + 1
  } else if (isVariable(name)) {
    part = (of) => of.variable(name)
  } else {
    return refuse(`there is no $${name}; there are ${Object.keys(meanings).join(' ')} hdr avp`)
  }
  if (bracketed) {
    if (text[end] === '{') return refuse('transformations, {...}, are not among them', end)
    if (text[end] === '[') return refuse('only the first line of a header can be asked for', end)
    if (text[end] !== ')') return refuse('the bracket is not closed')
    end++
  }
  return { ok: true, value: { part, end } }
}

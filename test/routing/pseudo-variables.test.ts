import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  avpName,
  compileText,
  type Template,
  type TemplateProblem,
  type VariableSource,
} from '../../src/routing/pseudo-variables.ts'

function compiled(text: string): Template {
  const read = compileText(text)
  if (!read.ok) throw new Error(`${read.error.offset}: ${read.error.message}`)
  return read.value
}

function problemOf(text: string): TemplateProblem {
  const read = compileText(text)
  if (read.ok) throw new Error('a text without a problem')
  return read.error
}

/** Every variable has its name as its value, but those that are listed. */
function source(values: Readonly<Record<string, string | null>> = {}): VariableSource {
  const of = (name: string) => (name in values ? values[name]! : `<${name}>`)
  return { variable: of, header: (name) => of(`hdr ${name}`), avp: (name) => of(`avp ${name}`) }
}

test.each([
  ['User $rU is away', 'User <rU> is away'],
  ['$rU$rd', '<rU><rd>'],
  ['$(rU)x', '<rU>x'],
  ['$rU(x)', '<rU>(x)'],
  ['sip:$fU@$fd', 'sip:<fU>@<fd>'],
  ['$hdr(X-Name) and $(hdr(Subject))', '<hdr X-Name> and <hdr Subject>'],
  ['$avp(a) $avp(s:a) $(avp(i:12))', '<avp a> <avp a> <avp i:12>'],
  ['$$5, $$$rm', '$5, $<rm>'],
  ['', ''],
  ['ü $tu ü', 'ü <tu> ü'],
])('%j becomes %j', (text, filled) => {
  expect(compiled(text).evaluate(source())).toBe(filled)
})

test('a text without variables is constant', () => {
  expect(compiled('$$ all').constant).toBe(true)
  expect(compiled('$ru').constant).toBe(false)
})

test('what there is not gives an empty text', () => {
  const nothing = { variable: () => null, header: () => null, avp: () => null }
  expect(compiled('<$ua$hdr(X)$avp(y)>').evaluate(nothing)).toBe('<>')
})

describe('a problem says where it is', () => {
  test.each([
    ['User $xx', 5, 'there is no $xx; there are ru rU rd'],
    ['$ru $toString', 4, 'there is no $toString'],
    ['costs 5$', 7, 'a dollar of its own is written $$'],
    ['$ 5', 0, 'a dollar of its own is written $$'],
    ['$hdr', 0, '$hdr needs a name, $hdr(...)'],
    ['$hdr(X', 0, '$hdr needs a name, $hdr(...)'],
    ['a $hdr(X Y)', 7, '$hdr(X Y) has no name that there can be'],
    ['$avp()', 5, '$avp() has no name that there can be'],
    ['$(rU', 0, 'the bracket is not closed'],
    ['$(ru{uri.user})', 4, 'transformations, {...}, are not among them'],
    ['$(hdr(X)[1])', 8, 'only the first line of a header can be asked for'],
    ['$rU'.repeat(65), 192, 'more than 64 in one text'],
  ])('%j', (text, offset, message) => {
    expect(problemOf(text).offset).toBe(offset)
    expect(problemOf(text).message).toContain(message)
  })
})

test('a value can never end its header line, and its length is bounded', () => {
  const text = compiled('X-A: $fU$hdr(B)$avp(c)')
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (value) => {
      const filled = text.evaluate(source({ fU: value, 'hdr B': value, 'avp c': value }))
      expect(filled).not.toMatch(/[\u0000-\u001f\u007f]/)
    }),
  )
  expect(text.evaluate(source({ fU: 'a\r\nVia: evil' }))).toBe('X-A: a Via: evil<hdr B><avp c>')
  expect(text.evaluate(source({ fU: 'a'.repeat(100_000) })).length).toBeLessThan(5000)
})

test('whatever the text, it is read or refused at a place in it', () => {
  const pieces = fc.constantFrom('$', '(', ')', 'rU', 'hdr', 'avp', '{', '[', ' ', 'x', ':')
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
      const text = parts.join('')
      const read = compileText(text)
      if (read.ok) expect(typeof read.value.evaluate(source())).toBe('string')
      else expect(read.error.offset).toBeLessThan(text.length)
    }),
  )
})

test.each([
  ['$avp(x)', 'x'],
  ['$avp(s:x)', 'x'],
  ['$avp(i:5)', 'i:5'],
  ['x', 'x'],
  ['$var(x)', null],
  ['$avp(x', null],
  ['', null],
])('the AVP that %j names', (text, name) => {
  expect(avpName(text)).toBe(name)
})

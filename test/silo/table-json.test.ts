import { expect, test } from 'vitest'
import { bobsRow, readBack, written } from './support/table-rows.ts'

test('is an array with a line for each row; a body that is no text is base64', async () => {
  const rows = [bobsRow, { ...bobsRow, body: Buffer.from([0xff, 0]) }]
  const text = (await written(rows, 'json')).toString()
  expect(text.split('\n')).toHaveLength(5)
  expect(JSON.parse(text)).toEqual([
    { ...bobsRow, body: 'hello' },
    { ...bobsRow, body: { base64: '/wA=' } },
  ])
  expect((await written([], 'json')).toString()).toBe('[\n]\n')
})

const row =
  '{"src_addr":"sip:a@b","dst_addr":"sip:c@d","username":"c","domain":"d","inc_time":1,"exp_time":"2","body":"{\\"\\\\}"}'

test.each([
  ['an array', `[${row},${row}]`],
  ['an array with blanks', ` [\n ${row} ,\r\n\t${row}\n] \n`],
  ['lines', `${row}\n${row}\n`],
  ['lines without a last end', `${row}\n${row}`],
])('reads %s', async (_what, file) => {
  const read = await readBack(file, 'json', { pieceOctets: 5 })
  expect(read.map(({ fields }) => [`${fields.body}`, `${fields.inc_time}`, `${fields.exp_time}`])).toEqual([
    ['{"\\}', '1', '2'],
    ['{"\\}', '1', '2'],
  ])
})

test('tells where each row begins', async () => {
  expect((await readBack(`[${row},\n  ${row}]`, 'json')).map(({ position }) => position)).toEqual([
    { line: 1, column: 2 },
    { line: 2, column: 3 },
  ])
})

test.each([
  ['7', '1:1: expected an object here'],
  ['[7]', '1:2: expected an object here'],
  ['[[]]', '1:2: expected an object here'],
  [`[${row}\n${row}]`, '2:1: expected a comma or ] here'],
  [`[${row},]`, `1:${row.length + 3}: expected an object here`],
  [`[${row}]\n1`, '2:1: nothing may follow the list'],
  [`[${row}`, `1:${row.length + 2}: the list is never closed`],
  [`${row}\n,${row}`, '2:1: expected an object here'],
  [row.slice(0, -1), '1:1: this object is never closed'],
  ['\n{"body":}', '2:1: this is no JSON object'],
  ['{"body":"x"}', '1:1: this object has no src_addr, dst_addr, username, domain, inc_time, exp_time'],
  ['{"body":"x","BODY":"y"}', '1:1: column body is there twice'],
  ['{"body":true}', '1:1: body is neither text nor a number, nor null, nor {"base64": text}'],
  ['{"body":{"base64":"?"}}', '1:1: body is neither text nor a number, nor null, nor {"base64": text}'],
])('%j is refused: %s', async (file, error) => {
  for (const pieceOctets of [1, 1_000])
    await expect(readBack(file, 'json', { pieceOctets })).rejects.toMatchObject({
      code: 'TABLE_INVALID',
      message: `silo.dump:${error}`,
    })
})

test('octets that are not UTF-8 are refused', async () => {
  const file = Buffer.concat([Buffer.from('{"body":"'), Buffer.from([0xff]), Buffer.from('"}')])
  await expect(readBack(file, 'json')).rejects.toThrow('silo.dump:1:1: this object is not UTF-8')
})

import { expect, test } from 'vitest'
import { bobsRow, readBack, written } from './support/table-rows.ts'

const header = 'id,src_addr,dst_addr,username,domain,inc_time,exp_time,snd_time,ctype,body,extra_hdrs,callid,status'

test('is RFC 4180: a header line, CRLF, quotation marks where they are needed', async () => {
  const row = { ...bobsRow, body: Buffer.from('one, "two"'), extra_hdrs: 'X: 1\r\n' }
  expect((await written([row], 'csv')).toString()).toBe(
    `${header}\r\n7,sip:alice@example.org,sip:bob@example.org,bob,example.org,1767225600,1767484800,0,text/plain,` +
      '"one, ""two""","X: 1\r\n",,0\r\n',
  )
})

const seven = 'sip:a@b,sip:c@d,c,d,1,2,x'
const required = 'src_addr,dst_addr,username,domain,inc_time,exp_time,body'

test.each([
  ['line feeds alone', `${required}\n${seven}\n${seven}\n`],
  ['no end of the last line', `${required}\r\n${seven}\r\n${seven}`],
  ['a byte order mark', `\ufeff${required}\r\n${seven}\r\n${seven}\r\n`],
  ['empty lines', `\r\n${required}\r\n\r\n${seven}\r\n\n${seven}\r\n\r\n`],
  ['names in quotation marks, capitals and blanks', `"SRC_ADDR", ${required.slice(9)}\r\n${seven}\r\n${seven}\r\n`],
  ['values in quotation marks', `${required}\r\n"sip:a@b",${seven.slice(8)}\r\n${seven.slice(0, -1)}"x"\r\n`],
])('reads a file with %s', async (_what, file) => {
  const read = await readBack(file, 'csv', { pieceOctets: 3 })
  expect(read.map(({ fields }) => [fields.src_addr?.toString(), fields.body?.toString()])).toEqual([
    ['sip:a@b', 'x'],
    ['sip:a@b', 'x'],
  ])
})

test('columns may come in any order; those the silo does not know are passed over', async () => {
  const file = `color,${required.split(',').reverse().join(',')}\nred,${seven.split(',').reverse().join(',')}\n`
  const [{ fields } = { fields: {} }] = await readBack(file, 'csv')
  expect(Object.entries(fields).map(([column, value]) => `${column}=${value}`)).toEqual([
    'body=x',
    'exp_time=2',
    'inc_time=1',
    'domain=d',
    'username=c',
    'dst_addr=sip:c@d',
    'src_addr=sip:a@b',
  ])
})

test('tells where each row begins, line breaks in values counted', async () => {
  const file = `${required}\n${seven.slice(0, -1)}"1\n2\n3"\n${seven}\n`
  expect((await readBack(file, 'csv')).map(({ position }) => position)).toEqual([
    { line: 2, column: 1 },
    { line: 5, column: 1 },
  ])
})

test.each([
  ['', '1:1: there is no header line with the names of the columns'],
  ['id,body\n', '1:1: the header line has no column src_addr, dst_addr, username, domain, inc_time, exp_time'],
  [`${required},body\n`, '1:1: the header line has column body twice'],
  [`${required}\n${seven}\n${seven},y\n`, '3:1: 8 fields, where the header line has 7'],
  [`${required}\n${seven}\nsip:a@b\n`, '3:1: 1 fields, where the header line has 7'],
  [`${required}\n"a" b,c\n`, '2:4: expected a comma or the end of the line here'],
  [`${required}\na,b"c\n`, '2:4: a quotation mark in a value that does not begin with one'],
  [`${required}\na,b\rc\n`, '2:4: expected a comma or the end of the line here'],
  [`${required}\na,"b\nc`, '2:3: this quotation mark is never closed'],
])('%j is refused: %s', async (file, error) => {
  for (const pieceOctets of [1, 1_000])
    await expect(readBack(file, 'csv', { pieceOctets })).rejects.toMatchObject({
      code: 'TABLE_INVALID',
      message: `silo.dump:${error}`,
    })
})

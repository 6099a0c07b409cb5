import { expect, test } from 'vitest'
import { ColumnNames } from '../../src/silo/table/column-names.ts'
import { bobsRow, readBack, written } from './support/table-rows.ts'

const required = 'src_addr, dst_addr, username, domain, inc_time, exp_time, body'
const into = `INSERT INTO silo (${required}) VALUES `

/** The bodies of a script's rows, as octets. */
async function bodies(script: string | Buffer, options: Parameters<typeof readBack>[2] = {}): Promise<string[]> {
  const read = await readBack(script, 'sql', options)
  return read.map(({ fields }) => (fields.body === null ? 'NULL' : fields.body!.toString('latin1')))
}

const withBody = (literal: string) => `${into}('sip:a@b','sip:c@d','c','d',1,2,${literal});`

test('is written for MySQL: escapes in strings, bodies in hexadecimal, no id', async () => {
  const row = { ...bobsRow, src_addr: "sip:o'hara\\@example.org", extra_hdrs: 'X: 1\r\n' }
  expect((await written([row, bobsRow], 'sql', { withId: false })).toString()).toBe(
    'SET NAMES utf8mb4;\n' +
      'INSERT INTO `silo` (`src_addr`, `dst_addr`, `username`, `domain`, `inc_time`, `exp_time`, `snd_time`, `ctype`, ' +
      '`body`, `extra_hdrs`, `callid`, `status`) VALUES\n' +
      "('sip:o''hara\\\\@example.org', 'sip:bob@example.org', 'bob', 'example.org', 1767225600, 1767484800, 0, " +
      "'text/plain', X'68656c6c6f', 'X: 1\\r\\n', '', 0),\n" +
      "('sip:alice@example.org', 'sip:bob@example.org', 'bob', 'example.org', 1767225600, 1767484800, 0, " +
      "'text/plain', X'68656c6c6f', '', '', 0);\n",
  )
})

test('is written for PostgreSQL: standard strings, E strings, bodies as bytea', async () => {
  const row = { ...bobsRow, src_addr: "sip:o'hara@example.org", extra_hdrs: 'X: 1\r\n' }
  expect((await written([row], 'pgsql', { table: 'Silo', withId: true })).toString()).toBe(
    "SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n" +
      'INSERT INTO "Silo" ("id", "src_addr", "dst_addr", "username", "domain", "inc_time", "exp_time", "snd_time", ' +
      '"ctype", "body", "extra_hdrs", "callid", "status") VALUES\n' +
      "(7, 'sip:o''hara@example.org', 'sip:bob@example.org', 'bob', 'example.org', 1767225600, 1767484800, 0, " +
      "'text/plain', '\\x68656c6c6f', E'X: 1\\r\\n', '', 0);\n",
  )
})

/** As mysqldump writes it, but for its length. */
const mysqldump = `-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)
--
-- Host: localhost    Database: kamailio
-- ------------------------------------------------------
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!50503 SET NAMES utf8mb4 */;
DROP TABLE IF EXISTS \`acc\`;
CREATE TABLE \`acc\` (
  \`id\` int unsigned NOT NULL AUTO_INCREMENT,
  PRIMARY KEY (\`id\`)
) ENGINE=InnoDB;
INSERT INTO \`acc\` VALUES (1),(2);
DROP TABLE IF EXISTS \`silo\`;
CREATE TABLE \`silo\` (
  \`id\` int unsigned NOT NULL AUTO_INCREMENT,
  \`src_addr\` varchar(255) NOT NULL DEFAULT '',
  \`dst_addr\` varchar(255) NOT NULL DEFAULT '',
  \`username\` varchar(64) NOT NULL DEFAULT '',
  \`domain\` varchar(64) NOT NULL DEFAULT '',
  \`extra_hdrs\` text,
  \`callid\` varchar(128) NOT NULL DEFAULT '',
  \`status\` int NOT NULL DEFAULT '0',
  \`inc_time\` int NOT NULL DEFAULT '0',
  \`exp_time\` decimal(10,0) NOT NULL DEFAULT '0' COMMENT 'a, (b',
  \`snd_time\` int NOT NULL DEFAULT '0',
  \`ctype\` varchar(32) NOT NULL DEFAULT 'text/plain',
  \`body\` blob,
  PRIMARY KEY (\`id\`),
  KEY \`account_idx\` (\`username\`,\`domain\`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=latin1;
LOCK TABLES \`silo\` WRITE;
/*!40000 ALTER TABLE \`silo\` DISABLE KEYS */;
INSERT INTO \`silo\` VALUES (1,'sip:a@b','sip:c@d','c','d','X: 1\\r\\n','',0,10,20,0,'text/plain',_binary 'it\\'s \\"1\\"\\n; -- \\0\\\\'),(2,'sip:a@b','sip:c@d','c','d',NULL,'',0,11,21,0,'text/html',0x3C623E);
/*!40000 ALTER TABLE \`silo\` ENABLE KEYS */;
UNLOCK TABLES;
-- Dump completed on 2026-01-01`

test('reads what mysqldump writes, in the order of columns that CREATE TABLE tells', async () => {
  for (const pieceOctets of [1, 13, 100_000]) {
    const read = await readBack(mysqldump, 'sql', { pieceOctets })
    expect(read.map(({ position, fields }) => [position.line, ...Object.values(fields).map(String)])).toEqual([
      [
        33,
        ...['1', 'sip:a@b', 'sip:c@d', 'c', 'd', 'X: 1\r\n', '', '0', '10', '20', '0', 'text/plain'],
        'it\'s "1"\n; -- \0\\',
      ],
      [33, ...['2', 'sip:a@b', 'sip:c@d', 'c', 'd', 'null', '', '0', '11', '21', '0', 'text/html', '<b>']],
    ])
  }
})

test('without CREATE TABLE, columns are in the order of version 8 (SILO-50)', async () => {
  const script = `insert into silo values (7,'sip:a@b','sip:c@d','c','d',1,2,3,'text/x','hi','X: 1\\r\\n','call',0)`
  const [read] = await readBack(script, 'sql')
  expect(Object.values(read!.fields).map(String)).toEqual([
    '7',
    'sip:a@b',
    'sip:c@d',
    'c',
    'd',
    '1',
    '2',
    '3',
    'text/x',
    'hi',
    'X: 1\r\n',
    'call',
    '0',
  ])
  await expect(readBack(script.replace(",'call',0", ''), 'sql')).rejects.toThrow('11 values for 13 columns')
})

/** As pg_dump --column-inserts writes it. */
const pgDump = `--
-- PostgreSQL database dump
--
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.silo (
    id integer NOT NULL,
    src_addr character varying(255) DEFAULT ''::character varying NOT NULL
);
INSERT INTO public.silo (id, src_addr, dst_addr, username, "domain", inc_time, exp_time, snd_time, ctype, body, extra_hdrs, callid, status) VALUES (1, 'sip:o''hara@b\\n', 'sip:c@d', 'c', 'd', 10, 20, 0, 'text/plain', '\\x68690a', 'X: 1
', '', 0);
SELECT pg_catalog.setval('public.silo_id_seq', 1, true);
`

test('reads what pg_dump writes: a backslash is just that, a body is bytea', async () => {
  const [read] = await readBack(pgDump, 'sql')
  expect(Object.values(read!.fields).map(String)).toEqual([
    '1',
    "sip:o'hara@b\\n",
    'sip:c@d',
    'c',
    'd',
    '10',
    '20',
    '0',
    'text/plain',
    'hi\n',
    'X: 1\n',
    '',
    '0',
  ])
})

test.each([
  ["'it''s'", "it's"],
  ["'\\'\\\"\\\\\\0\\b\\n\\r\\t\\Z\\x'", '\'"\\\0\b\n\r\t\u001ax'],
  ["'100\\% \\_'", '100\\% \\_'],
  ['"say ""hi"""', 'say "hi"'],
  ["X'68C3bc'", 'h\u00c3\u00bc'],
  ["x''", ''],
  ['0x6869', 'hi'],
  ["_binary 'hi'", 'hi'],
  ["_utf8mb4'hi'", 'hi'],
  ["N'hi'", 'hi'],
  ["E'a\\tb\\x'", 'a\tbx'],
  ['NULL', 'NULL'],
  ['null', 'NULL'],
  ['42', '42'],
  ['-1.5e3', '-1.5e3'],
  ["'\\\\x6869'", '\\x6869'],
  ["'a' :: bytea", 'a'],
  ["/* a */'a'/* b */ -- c\n # d\n", 'a'],
])('reads the value %s', async (literal, value) => {
  for (const pieceOctets of [1, 2, 3, 1_000]) expect(await bodies(withBody(literal), { pieceOctets })).toEqual([value])
})

test('octets that are no UTF-8 come through in a plain string', async () => {
  const script = Buffer.from(withBody("_binary '\u00ff\u00fe'"), 'latin1')
  expect(await bodies(script)).toEqual(['\u00ff\u00fe'])
})

test.each([
  ['several statements', `${withBody("'1'")}\n\n${withBody("'2'")}`],
  ['several rows', `${withBody("'1'").slice(0, -1)},('sip:a@b','sip:c@d','c','d',1,2,'2')`],
  ['INSERT IGNORE and REPLACE', `INSERT IGNORE${withBody("'1'").slice(6)} REPLACE${withBody("'2'").slice(6)}`],
  ['what to do about a conflict', `${withBody("'1'").slice(0, -1)} ON CONFLICT (id) DO NOTHING;${withBody("'2'")}`],
  ['a schema and capitals', `${withBody("'1'")} ${withBody("'2'").replace('silo', '`kamailio`.`SILO`')}`],
  ['other tables', `INSERT INTO other SELECT '; (' FROM x; ${withBody("'1'")} ${withBody("'2'")}`],
  ['a comment at the end', `${withBody("'1'")}${withBody("'2'")} -- (`],
])('reads a script with %s', async (_what, script) => {
  for (const pieceOctets of [1, 1_000]) expect(await bodies(script, { pieceOctets })).toEqual(['1', '2'])
})

test('reads the rows of the table that is named only (SILO-50)', async () => {
  const script = withBody("'1'") + withBody("'2'").replace('silo', 'old_silo')
  expect(await bodies(script, { table: 'old_silo' })).toEqual(['2'])
  expect(await bodies(script, { table: 'new_silo' })).toEqual([])
})

test('the columns of CREATE TABLE have the names that are given (SILO-50)', async () => {
  const script = mysqldump.replaceAll('`body`', '`message_body`')
  await expect(readBack(script, 'sql')).rejects.toThrow('silo.dump:33:20: there is no column body')
  expect(await bodies(script, { names: new ColumnNames({ sc_body: 'message_body' }) })).toHaveLength(2)
})

const at = into.length + 1

test.each([
  [withBody('replace(1)'), `1:${at + 33}: expected a value here: text, a number, 0x…, X'…' or NULL`],
  [withBody("X'123'"), `1:${at + 33}: expected pairs of hexadecimal digits here`],
  [withBody("X'12g4'"), `1:${at + 33}: expected pairs of hexadecimal digits here`],
  [withBody('0x123'), `1:${at + 33}: expected pairs of hexadecimal digits here`],
  [withBody("'a").slice(0, -2), `1:${at + 33}: this is never closed`],
  [withBody("'a' 'b'"), `1:${at + 37}: expected a comma or ) here`],
  [`${into}\n (1, 2)`, '2:2: 2 values for 7 columns'],
  [`${into}\n (1, 2`, '2:7: expected a comma or ) here'],
  [
    "INSERT INTO silo\n(body) VALUES ('x')",
    '2:1: there is no column src_addr, dst_addr, username, domain, inc_time, exp_time',
  ],
  [`INSERT INTO silo (${required}, body) VALUES (1)`, `1:18: column body is there twice`],
  ['INSERT INTO silo SELECT 1;', '1:18: expected VALUES here'],
  [
    'COPY public.silo (id) FROM stdin;\n1\n\\.\n',
    '1:1: COPY is not read: make the dump with pg_dump --column-inserts, or export CSV',
  ],
  ['SELECT 1; /* a', '1:11: this comment is never closed'],
])('%j is refused: %s', async (script, error) => {
  for (const pieceOctets of [1, 1_000])
    await expect(readBack(script, 'sql', { pieceOctets })).rejects.toMatchObject({
      code: 'TABLE_INVALID',
      message: `silo.dump:${error}`,
    })
})

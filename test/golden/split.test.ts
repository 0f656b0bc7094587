import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Stage } from './stage.ts'

const dump = `--
-- PostgreSQL database dump
--

CREATE TABLE public.users (id integer, name text);

COPY public.users (id, name) FROM stdin;
1\tAda
2\tGrace
3\tJoan
\\.

ALTER TABLE ONLY public.users ADD CONSTRAINT users_pkey PRIMARY KEY (id);
`

test('files are put as many, by line, value, record or row', async () => {
  await using stage = await Stage.open()
  await mkdir(join(stage.directory, 'logs/old'), { recursive: true })
  await writeFile(join(stage.directory, 'logs/a.log'), 'one\ntwo\nthree\n')
  await writeFile(join(stage.directory, 'logs/old/b.log'), 'four\n')
  await writeFile(join(stage.directory, 'users.csv'), 'id,note\n1,"two\nlines"\n2,short\n')
  await writeFile(join(stage.directory, 'users.sql'), dump)
  await stage.run('create-repo data')
  await stage.run('put-file data master /log -c --split line', 'one\ntwo\n')
  await stage.run('put-file data master /log -c --split line', 'three\n')
  await stage.run('list-file data master /log')
  await stage.run(
    'put-file data master /log -c -o --split line --target-file-datums 2',
    'a\nb\nc\n',
  )
  await stage.run("glob-file data master '/log/*'")
  await stage.run('put-file data master -c -r -f logs --split line --target-file-bytes 6')
  await stage.run("glob-file data master '/logs/*/*'")
  await stage.run('put-file data master /q -c -f logs/a.log -f logs/old/b.log --split line')
  await stage.run("glob-file data master '/q/*/*/*'")
  await stage.run('put-file data master -c -f users.csv --split csv --header-records 1')
  await stage.run('get-file data master /users.csv/0000000000000000')
  await stage.run('put-file data master /values -c --split json', '{"a": 1}\n\n[2, 3] "x"')
  await stage.run('list-file data master /values')
  await stage.run('put-file data master /users -c -f users.sql --split sql --target-file-datums 2')
  await stage.run('get-file data master /users/0000000000000001')
  await stage.run('get-file data master /users')

  await stage.run('put-file data master /values -c --split json', '{"a": 1}\n{"a" 2}\n')
  await stage.run('put-file data master /users.csv -c --split csv', 'id\n"1\n2\n')
  await stage.run('put-file data master /users -c --split sql', 'INSERT INTO t VALUES (1);\n')
  await stage.run('put-file data master /users -c --split sql -f users.sql --header-records 1')
  await stage.run('put-file data master /users.csv -c --split csv --header-records 4', 'id\n1\n')
  await stage.run('put-file data master /plain -c', 'whole')
  await stage.run('put-file data master /plain -c --split line', 'a\n')
  await stage.run('put-file data master / -c --split line', 'a\n')
  await stage.run('put-file data master /log -c --target-file-bytes 10', 'a\n')
  await stage.run('put-file data master /log -c --split xml', '<a/>')
  await stage.run('list-commit data master -n 1')
  await stage.run('list-file data master')
  expect(stage.transcript.text).toBe(stage.transcript.stored('split'))
})

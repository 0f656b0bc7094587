import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import { WebServer } from '../harness/web-server.ts'
import { Stage } from './stage.ts'

test('files come from the web, from lists, and from another pachd with its history', async () => {
  await using stage = await Stage.open()
  await using web = await WebServer.start()
  const { url } = web
  web.file('/2018/report.csv', utf8('a,b\n'))
  web.file('/list.txt', utf8(`${url}/2018/report.csv\n\nlocal.txt\n`))
  await mkdir(join(stage.directory, 'photographs'))
  await writeFile(join(stage.directory, 'local.txt'), 'local')
  await writeFile(
    join(stage.directory, 'secret-list'),
    `${url.replace('//', '//ada:s3cret@')}/2018/report.csv\n`,
  )
  await stage.quietly(['create-repo', 'data'])
  await stage.run(`put-file data master report.csv -c -f ${url}/2018/report.csv`)
  await stage.run(`put-file data master -c -f ${url}/2018/report.csv -f local.txt`)
  await stage.run(`put-file data master lists -c -i ${url}/list.txt`)
  await stage.run('put-file data master secret -c -i secret-list')
  await stage.run(`put-file data master x -c -f ${url.replace('//', '//ada:s3cret@')}/x`)
  await stage.run(`put-file data master x -c -f ${url}/nothing`)
  await stage.run(`put-file data master -c -f ${url}/`)
  await stage.run(`put-file data master x -c -i ${url}/no-list`)
  await stage.run("glob-file data master '/*'")
  await stage.quietly(['create-repo', 'copy'])
  const { address } = stage
  await stage.run(`put-file copy master / -c -f pfs://${address}/data/master`)
  await stage.run(`put-file copy master / -c -r -f pfs://${address}/data/master`)
  await stage.run(`put-file copy x x -c -f pfs://${address}/data/nobranch/report.csv`)
  await stage.run('put-file copy x x -c -f pfs://127.0.0.1:1/data/master')
  await stage.run("glob-file copy master '/*'")
  await stage.run(`put-file copy old / --history -f pfs://${address}/data/master`)
  await stage.run(`put-file copy old / --history -f pfs://${address}/data/master`)
  await stage.run('put-file data master later -c', 'later')
  await stage.run(`put-file copy old / --history --resume -f pfs://${address}/data/master`)
  await stage.run('put-file copy old / --history -c -f pfs://a/b/c')
  await stage.run('put-file copy old / --history -f local.txt')
  const said = stage.transcript.text.split('\n').filter((line) => !line.startsWith('$'))
  expect(said.join('\n')).not.toContain('s3cret')
  expect(stage.transcript.text).toBe(stage.transcript.stored('sources'))
})

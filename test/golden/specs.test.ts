import { chmod, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Stage } from './stage.ts'

const yaml = `# Two pipelines, the second over the first.
pipeline: {name: lines}
transform:
  cmd: [sh]
  stdin:
    - |
      for f in "\${PFS:-/pfs}"/words/*; do wc -l < "$f" > "\${PFS:-/pfs}/out/$(basename "$f")"; done
input:
  pfs: {repo: words, glob: "/*"}
scale_down_threshold: 30m
---
pipeline: {name: pairs}
transform: {cmd: ["true"]}
input:
  join:
    - pfs: {repo: words, glob: "/(*)", join_on: $1, outer_join: true}
    - pfs: {repo: lines, glob: "/(*)", join_on: $1}
`

const template = `pipeline: {name: "grep-{{what}}"}
transform:
  cmd: [grep, "{{what}}"]
  env: {LEVEL: "{{level}}"}
parallelism_spec: {constant: "{{workers}}"}
input: {atom: {repo: words, glob: "{{glob}}"}}
`

const tick = {
  pipeline: { name: 'tick' },
  transform: { cmd: ['true'] },
  input: { cron: { name: 'clock', spec: '0 9 * * 1', start: '2099-01-01T00:00:00Z' } },
}

const bad = `{"pipeline": {"name": "lines"}, "transform": {"cmd": ["true"]}, "input": {"atom": {"repo": "words", "glob": "/"}}}
{"pipeline": {"name": "next"}, "transform": {"cmd": ["true"]}, "input": {"atom": {"repo": "lines", "glob": "/"}}}
{"pipeline": {"name": "lost"}, "transform": {"cmd": ["true"]}, "input": {"atom": {"repo": "nowhere", "glob": "/"}}}
`

test('specs are read in every form, checked, given back and edited', async () => {
  await using stage = await Stage.open()
  const write = (name: string, text: string): Promise<void> =>
    writeFile(join(stage.directory, name), text)
  await write('two.yaml', yaml)
  await write('grep.yaml', template)
  await write('bad.json', bad)
  await stage.run('create-repo words')
  await stage.run('validate-pipeline -f two.yaml')
  await stage.run('create-pipeline -f two.yaml')
  await stage.run('list-pipeline')
  await stage.run('validate-pipeline -f bad.json')
  await stage.run('plan -f bad.json')
  await stage.run('create-pipeline --template grep.yaml --arg what=x --arg level=3')
  const given = "--arg what=x --arg level=3 --arg workers:=2 --arg 'glob=/*,{{what}}'"
  await stage.run(`create-pipeline --template grep.yaml ${given}`)
  await stage.run(`create-pipeline --template grep.yaml ${given} --arg levl=4`)
  await stage.run('create-pipeline -f grep.yaml --arg what=x')
  await stage.run('extract-pipeline grep-x')
  await stage.run('extract-pipeline --all -o yaml')
  await stage.run('extract-pipeline')
  await stage.run('create-pipeline', JSON.stringify(tick))
  await stage.run('inspect-pipeline tick')
  await stage.run('create-pipeline', '{"pipeline": {"nam": "x"}}')
  await edit(stage, 's/30m/45m/; s/1800/2700/')
  await edit(stage, 's/"words"/"nowhere"/')
  await edit(stage, 's/x/x/')
  await edit(stage, '')
  expect(stage.transcript.text).toBe(stage.transcript.stored('specs'))
})

/** Has `sed` edit the pipeline `lines`, with an editor that fails when there is no script. */
async function edit(stage: Stage, script: string): Promise<void> {
  const editor = join(stage.directory, 'editor')
  const code = script === '' ? 'exit 3' : `sed -i '${script}' "$2"`
  await writeFile(editor, `#!/bin/sh\n${code}\n`)
  await chmod(editor, 0o755)
  stage.variables = { EDITOR: `${editor} --wait`, TMPDIR: stage.directory }
  await stage.run('edit-pipeline lines')
}

test('a spec may be fetched, and what cannot be is said', async () => {
  await using stage = await Stage.open()
  const server = createServer((request, response) => {
    response.statusCode = request.url === '/spec' ? 200 : 404
    response.end(JSON.stringify({ ...tick, pipeline: { name: 'fetched' } }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  using _ = { [Symbol.dispose]: () => server.close() }
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  await stage.run(`create-pipeline -f http://127.0.0.1:${port}/spec`)
  await stage.run(`create-pipeline -f http://127.0.0.1:${port}/nothing`)
  await stage.run('create-pipeline -f ftp://example.org/spec')
  await stage.run('list-pipeline')
  expect(stage.transcript.text).toBe(stage.transcript.stored('specs-fetched'))
})

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Stage } from './stage.ts'

const operations = [
  { start_commit: { parent: { repo: { name: 'left' } }, branch: 'master' } },
  {
    putFile: { file: { commit: { repo: { name: 'left' }, id: 'master' }, path: '/l' }, text: 'l' },
  },
  { finish_commit: { commit: { repo: { name: 'left' }, id: 'master' } } },
]

test('changes that are added to a transaction take effect together', async () => {
  await using stage = await Stage.open()
  await stage.run('list-transaction')
  await stage.run('finish-transaction')
  await stage.run('create-repo left')
  await stage.run('start-commit left master')
  await stage.run('put-file left master /a', 'a')
  const id = await stage.run("start-transaction -m 'both at once'")
  await stage.run('start-transaction')
  await stage.run('create-repo right -d made')
  await stage.run('create-repo right')
  await stage.run('start-commit right master')
  await stage.run('finish-commit right master')
  await stage.run('set-branch left master ahead')
  await stage.run('delete-file left master /b')
  await stage.run('put-file left master /c', 'c')
  await stage.run('copy-file left master /a left master /d/a --overwrite')
  await stage.run('move-file left master /c left master /d/c')
  await stage.run('move-file left master /d left master /d/e')
  await stage.run('copy-file left master /a left other /a -c')
  await stage.run('finish-commit left master')
  await stage.run('merge-branch left master ahead --dry-run')
  await stage.run('merge-branch left master ahead')
  await stage.run('tag-commit left ahead v1')
  await stage.run('inspect-repo right')
  await stage.run('put-file right master /x', 'x')
  await stage.run('delete-repo --all')
  await stage.run('inspect-transaction')
  await stage.run('list-transaction')
  await stage.run('stop-transaction')
  await stage.run('list-transaction')
  await stage.run('create-repo aside')
  await stage.run(`resume-transaction ${id}`)
  await stage.run('finish-transaction')
  await stage.run('list-branch left')
  await stage.run('list-file left master')
  await stage.run(`finish-transaction ${id}`)
  await stage.run(`inspect-transaction ${id}`)
  await stage.run(`inspect-transaction ${id} --raw`)
  await stage.run(`resume-transaction ${id}`)
  await stage.run(`delete-transaction ${id}`)
  await stage.run(`inspect-transaction ${id}`)
  expect(stage.transcript.text).toBe(stage.transcript.stored('transactions'))
})

test('what cannot be done as a whole is not done', async () => {
  await using stage = await Stage.open()
  await writeFile(join(stage.directory, 'operations.json'), JSON.stringify(operations))
  await stage.run('create-repo left')
  const id = await stage.run('start-transaction')
  await stage.run('create-repo right')
  await stage.run('delete-branch left master')
  await stage.run('stop-transaction')
  await stage.run('create-repo right')
  await stage.run(`finish-transaction ${id}`)
  await stage.run('start-transaction --no-activate')
  await stage.run('run-transaction -f operations.json')
  await stage.run('get-file left master /l')
  const failing = [...operations, { delete_branch: { repo: { name: 'left' }, branch: 'gone' } }]
  await stage.run('run-transaction', failing.map((one) => JSON.stringify(one)).join('\n'))
  await stage.run('run-transaction', '{"operations": [{}]}')
  await stage.run('run-transaction', '{"finish_commit": {"comit": {}}}')
  await stage.run('run-transaction', '')
  await stage.run('run-transaction -f missing.json')
  await stage.run('list-commit left')
  expect(stage.transcript.text).toBe(stage.transcript.stored('transactions-refused'))
})

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Stage } from './stage.ts'

const upper = {
  pipeline: { name: 'upper' },
  description: 'in capitals',
  transform: {
    cmd: ['sh'],
    stdin: [
      'for f in "${PFS:-/pfs}"/words/*; do',
      '  tr a-z A-Z < "$f" > "${PFS:-/pfs}/out/$(basename "$f")" && echo "did $(basename "$f")"',
      'done',
    ],
  },
  parallelism_spec: { constant: 1 },
  scaleDownThreshold: '1h30m',
  input: { atom: { repo: 'words', glob: '/*' } },
}

const pairs = {
  pipeline: { name: 'pairs' },
  transform: { image: 'tools:1', cmd: ['false'] },
  input: {
    cross: [{ atom: { repo: 'words', glob: '/' } }, { atom: { repo: 'upper', glob: '/*' } }],
  },
}

test('pipelines, jobs and datums show as in 1.5', async () => {
  await using stage = await Stage.open()
  await writeFile(join(stage.directory, 'upper.json'), JSON.stringify(upper, undefined, 2))

  await stage.run('create-repo words')
  await stage.run('list-pipeline')
  await stage.run('create-pipeline -f upper.json')
  await stage.run('create-pipeline -f upper.json')
  await stage.run('put-file words master -c a', 'one\n')
  await stage.run('flush-commit words/master -r upper')
  await stage.run('get-file upper master a')
  await stage.run('lineage upper master a')
  await stage.run('lineage upper master a --raw')
  await stage.run('lineage words master a')
  await stage.run('list-job')
  const { out } = await stage.quietly(['list-job', '-p', 'upper'])
  const job = out.split('\n')[1]?.split(' ')[0] ?? ''
  await stage.run(`inspect-job ${job} --block`)
  await stage.run(`list-datum ${job}`)
  const list = await stage.quietly(['list-datum', job])
  const datum = list.out.split('\n')[1]?.split(' ')[0] ?? ''
  await stage.run(`inspect-datum ${job} ${datum}`)
  await stage.run('get-logs --pipeline upper')
  await stage.run(`get-logs --job ${job} --inputs /a --raw`)
  await stage.run(`get-logs --job ${job} --inputs /none`)
  await stage.run('stop-pipeline upper')
  await stage.run('inspect-pipeline upper')
  await stage.run('start-pipeline upper')
  await stage.run('update-pipeline', JSON.stringify({ ...upper, description: 'changed' }))
  await stage.run('create-pipeline', `${JSON.stringify(pairs)}\n{"pipeline": {"nam": "x"}}`)
  await stage.run('list-pipeline')
  await stage.run('inspect-repo pairs')
  await stage.run('list-repo -p upper')
  await stage.run('delete-pipeline pairs --delete-jobs --delete-repo')
  await stage.run(`delete-job ${job}`)
  await stage.run('delete-pipeline upper')
  await stage.run('list-pipeline')
  expect(stage.transcript.text).toBe(stage.transcript.stored('pipelines'))
})

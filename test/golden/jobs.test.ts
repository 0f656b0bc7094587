import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Stage } from './stage.ts'

const spec = {
  pipeline: { name: 'upper' },
  transform: {
    cmd: ['sh', '-e'],
    stdin: [
      'for f in "${PFS:-/pfs}"/words/*; do',
      '  echo "reading $(basename "$f")"',
      '  if grep -q bad "$f"; then echo "that is bad"; exit 3; fi',
      '  tr a-z A-Z < "$f" > "${PFS:-/pfs}/out/$(basename "$f")"',
      'done',
    ],
  },
  parallelism_spec: { constant: 1 },
  input: { atom: { repo: 'words', glob: '/*' } },
}

test('plans, explanations, lineage and logs say why and what', async () => {
  await using stage = await Stage.open()
  await writeFile(`${stage.directory}/upper.json`, JSON.stringify(spec))
  const column = async (command: string, row: number): Promise<string> => {
    const { out } = await stage.quietly(command.split(' '))
    return out.split('\n')[row]?.split(' ')[0] ?? ''
  }

  await stage.run('create-repo words')
  await stage.run('plan -f upper.json')
  await stage.run('put-file words master -c a', 'one\n')
  await stage.run('put-file words master -c b', 'two\n')
  await stage.run('plan -f upper.json')
  await stage.run('create-pipeline -f upper.json')
  await stage.run('flush-commit words/master -r upper')
  await stage.run('plan -f upper.json')
  await stage.run('explain upper@master:/b')
  await stage.run('explain upper@master:/a')
  await stage.run('lineage upper@master:/a')
  await stage.run('lineage words@master:/a --downstream')
  await stage.run('lineage words@master:/none')
  await stage.run('put-file words master -c b', 'bad\n')
  await stage.run('flush-commit words/master -r upper')
  const failed = await column('list-job -p upper', 1)
  await stage.run(`explain ${failed}`)
  await stage.run(`get-logs --job ${failed}`)
  await stage.run(`get-logs --job ${failed} --tail 1`)
  await stage.run(`get-logs --job ${failed} --skipped --search reading`)
  const skipped = await column(`list-datum ${failed}`, 1)
  await stage.run(`get-logs --job ${failed} --datum ${skipped}`)
  await stage.run(`get-logs --job ${failed} --datum nope`)
  await stage.run('get-logs --pipeline upper --datum nope')
  await stage.run(`stats --job ${failed}`)
  await stage.run('get-logs --pipeline upper --since yesterday')
  const job = await stage.run('run-pipeline upper words@master^')
  await stage.quietly(['inspect-job', '--block', job])
  await stage.run(`explain ${job}`)
  await stage.run(`get-logs --job ${job} --inputs /a`)
  await stage.run('get-logs --pipeline upper --skipped')
  await stage.run(`explain ${await column(`list-datum ${job}`, 1)} --job ${job}`)
  await stage.run(`restart-datum ${job} /a`)
  await stage.run('explain nonsense')
  await stage.run('delete-pipeline upper --cascade')
  await stage.run('get-logs --pipeline upper --tail 1')
  expect(stage.transcript.text).toBe(stage.transcript.stored('jobs'))
})

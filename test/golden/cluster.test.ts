import { expect, test } from 'vitest'
import { Stage } from './stage.ts'

test('collecting garbage says what it freed', async () => {
  await using stage = await Stage.open()
  const text = 'what does not compress well is not needed here\n'.repeat(100)
  await stage.run('create-repo kept')
  await stage.run('create-repo old')
  await stage.quietly(['put-file', 'kept', 'master', '-c', 'a'], text)
  await stage.quietly(['put-file', 'old', 'master', '-c', 'a'], text)
  await stage.quietly(['put-file', 'old', 'master', '-c', 'b'], `${text}${text}`)
  await stage.run('garbage-collect --dry-run')
  await stage.run('delete-repo old')
  await stage.run('garbage-collect --dry-run')
  await stage.run('garbage-collect')
  await stage.run('garbage-collect')
  await stage.run('garbage-collect now')
  await stage.run('get-object 00')
  await stage.run('get-tag nobody')
  await stage.run('help garbage-collect')

  expect(stage.transcript.text).toBe(stage.transcript.stored('cluster'))
})

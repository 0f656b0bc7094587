import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { UnavailableError } from '../base/errors.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { lockDirectory } from './directory-lock.ts'

test('a directory has one server at a time, and the message names it and what to do', async () => {
  await using directory = await TemporaryDirectory.create()
  const path = directory.join('data')
  await mkdir(path)
  await mkdir(directory.join('other'))
  {
    await using _ = await lockDirectory(path)
    await expect(lockDirectory(path)).rejects.toThrow(UnavailableError)
    await expect(lockDirectory(path)).rejects.toThrow(
      `another server is running on ${path}; stop it first`,
    )
    await (await lockDirectory(directory.join('other')))[Symbol.asyncDispose]()
  }
  await using _ = await lockDirectory(path)
})

test('a killed process leaves no lock behind', async () => {
  await using directory = await TemporaryDirectory.create()
  const module = new URL('./directory-lock.ts', import.meta.url).href
  const program = `
    import { lockDirectory } from ${JSON.stringify(module)}
    await lockDirectory(${JSON.stringify(directory.path)})
    console.log('locked')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  await expect(lockDirectory(directory.path)).rejects.toThrow('another server')
  child.kill('SIGKILL')
  await once(child, 'exit')
  await using _ = await lockDirectory(directory.path)
})

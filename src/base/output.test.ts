import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { Output, OutputClosedError, OutputFailedError } from './output.ts'

/** Takes `count` writes, and fails with `code` from then on, after the call as files and pipes do. */
function failing(code: string, count = 0): Writable {
  let left = count
  return new Writable({
    write: (_bytes, _encoding, done) => {
      left -= 1
      setImmediate(() => {
        done(left < 0 ? Object.assign(new Error(`${code}: it failed, write`), { code }) : null)
      })
    },
  })
}

test('what could not be written is told at the end, though each write seemed to go well', async () => {
  const out = new Output(failing('ENOSPC', 1))
  await out.write('one')
  await out.write('two')
  await expect(out.flush()).rejects.toThrow(OutputFailedError)
  await expect(out.write('three')).rejects.toThrow('the output cannot be written: it failed')
  await expect(out.flush()).rejects.toThrow(OutputFailedError)
})

test('that nobody reads any more is no failure of the output', async () => {
  const out = new Output(failing('EPIPE'))
  await out.write('one')
  await expect(out.flush()).rejects.toThrow(OutputClosedError)
})

test('what was taken is whole', async () => {
  const out = new Output(failing('ENOSPC', 3))
  await out.line('one')
  await out.flush()
  await out.write('')
  await out.flush()
  expect(out.isTerminal).toBe(false)
})

test('notices that nobody reads are no reason to end', async () => {
  const err = new Output(failing('EPIPE'), { mayBeLost: true })
  await err.line('one')
  await err.flush()
  await expect(err.line('two')).resolves.toBeUndefined()
  await expect(err.flush()).resolves.toBeUndefined()
})

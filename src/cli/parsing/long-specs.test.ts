import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { SystemClock } from '../../base/clock.ts'
import { Output } from '../../base/output.ts'
import { Input } from '../input.ts'
import { readSource } from '../spec-source.ts'
import { parsePipelineSpecs } from './pipeline-specs.ts'

const long = 'x'.repeat(1_000_000)

const spec = {
  pipeline: { name: 'p' },
  transform: { cmd: ['true'] },
  input: { atom: { repo: 'in', glob: '/' } },
}

test.each([
  [
    'a value of another type',
    { ...spec, transform: { cmd: long } },
    'transform.cmd must be a list',
  ],
  ['a field that is not there', { ...spec, [long]: 1 }, 'unknown field "xxx'],
  ['a number', { ...spec, datum_tries: '1'.repeat(1_000_000) }, 'expected a whole number: 111'],
  ['a key', { ...spec, transform: { cmd: ['x'], env: { [long]: 1 } } }, 'must be a text'],
  ['no object', [long], 'a spec must be an object'],
])('an error about %s quotes the beginning of what is long', async (_what, value, text) => {
  const specs = parsePipelineSpecs({ name: 'spec.json', text: JSON.stringify(value) })
  const message = await specs.next().then(
    () => '',
    (error: unknown) => String(error),
  )
  expect(message).toContain(text)
  expect(message).toContain('more characters)')
  expect(message.length).toBeLessThan(2000)
})

test('standard input that is no spec is read no further than specs go', async () => {
  let pulledCount = 0
  const input = new Input(async function* () {
    for (;;) {
      pulledCount += 1
      yield new Uint8Array(1024 * 1024)
    }
  })
  const out = new Output(new PassThrough())
  const read = readSource({ input, out, clock: new SystemClock() }, '-')
  await expect(read).rejects.toThrow('standard input holds more than 16 MiB')
  expect(pulledCount).toBe(17)
})

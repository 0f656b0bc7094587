import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { canHavePodman, PodmanEngine } from '../src/testing/podman-engine.ts'
import { machineImage } from '../src/testing/test-images.ts'
import { ChildPachd, oneDoor } from './harness/child-pachd.ts'

const examples = fileURLToPath(new URL('../examples', import.meta.url))
const updates = process.env['UPDATE_GOLDEN'] === '1'
const names = [
  'word-count',
  'daily-join',
  'image-edges',
  'running-sum',
  'fetch-prices',
  'parameter-search',
] as const
const printedPattern = /(?<=^```text\n).*?(?=^```$)/ms

/** What the examples find in the images that they name. */
const images = {
  'docker.io/library/debian:12-slim': machineImage('dash', 'awk', 'sed', 'sort', 'uniq'),
  'docker.io/library/node:24-slim': machineImage('dash', process.execPath),
}

test('the examples are all here', async () => {
  const folders = await readdir(examples, { withFileTypes: true })
  const found = folders.filter((one) => one.isDirectory()).map(({ name }) => name)
  expect(found.toSorted()).toEqual([...names, 'node-modules'].toSorted())
})

describe('the examples in processes', () => {
  testExamples(async () => undefined)
})

describe.skipIf(!canHavePodman())('the examples in containers', () => {
  testExamples(async () => {
    const engine = await PodmanEngine.start()
    for (const [name, image] of Object.entries(images)) await engine.makeImage(name, image)
    return engine
  })
})

/** One server for all of them: they do not get in each other's way. */
function testExamples(startEngine: () => Promise<PodmanEngine | undefined>): void {
  let directory = ''
  let engine: PodmanEngine | undefined
  let pachd: ChildPachd | undefined
  let address = ''

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'examples-'))
    engine = await startEngine()
    const environment =
      engine === undefined
        ? { PACHD_EXECUTOR: 'process' }
        : { PACHD_EXECUTOR: 'container', PACHD_CONTAINER_ENGINE: engine.url }
    pachd = new ChildPachd(oneDoor(join(directory, 'data')), { environment })
    address = `127.0.0.1:${await pachd.ready}`
  }, 180_000)

  afterAll(async () => {
    // Removes its containers.
    pachd?.signal('SIGTERM')
    await pachd?.exit
    await engine?.[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  test.each(names)(
    '%s prints what its README says',
    async (name) => {
      const printed = await runExample(name)
      const page = join(examples, name, 'README.md')
      const text = await readFile(page, 'utf8')
      if (updates)
        await writeFile(
          page,
          text.replace(printedPattern, () => printed),
        )
      const told = updates ? printed : printedPattern.exec(text)?.[0]
      expect(comparable(printed)).toEqual(comparable(told ?? ''))
    },
    180_000,
  )

  async function runExample(name: string): Promise<string> {
    const { stdout } = await promisify(execFile)(join(examples, name, 'run'), {
      env: { ...process.env, ADDRESS: address },
    })
    return `${stdout.trim()}\n`
  }
}

/** Without ids, times, and the widths of columns, which differ from run to run. */
function comparable(printed: string): string {
  return printed
    .replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}|[0-9a-f]{32}/g, 'ID')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'INSTANT')
    .replaceAll(/(?:less than a|about an?|\d+) (?:second|minute)s?(?: ago)?/gi, 'TIME')
    .replaceAll(/[ \t]+/g, ' ')
    .replaceAll(/ $/gm, '')
}

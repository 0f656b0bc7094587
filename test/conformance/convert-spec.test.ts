import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'

test.each(['', 'null', '\n', '---\n---\n'])(
  'of %j convert-spec makes no spec, and fails',
  async (text) => {
    await using directory = await TemporaryDirectory.create()
    const path = directory.join('spec')
    await writeFile(path, text)
    const ended = await pachctlHere(['convert-spec', '-f', path], { port: 1, home: '/' })
    expect(ended).toMatchObject({ code: 1, out: '' })
    expect(ended.err).toContain(`there is no spec in ${path}: a spec is an object`)
  },
)

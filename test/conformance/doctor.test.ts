import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestPachd } from '../harness/test-pachd.ts'

test('the doctor tells of this machine and the server, and its exit code whether there is a problem', async () => {
  await using directory = await TemporaryDirectory.create()
  const home = directory.path
  let freePort = 0
  {
    await using pachd = await TestPachd.start()
    freePort = pachd.port
    const { code, out, err } = await pachctlHere(['doctor'], { port: pachd.port, home })
    const subjects = out.matchAll(/^(?:ok|!|X) +([a-z ]+): /gm)
    expect(Array.from(subjects, ([, subject]) => subject)).toEqual(
      expect.arrayContaining(['pachctl', 'connection', 'clock', 'server', 'sandbox', 'disk']),
    )
    expect(out).toContain(`everything at 127.0.0.1:${pachd.port}, files by HTTP at 127.0.0.1:`)
    const isProblem = /^X /m.test(out)
    expect(code).toBe(isProblem ? 1 : 0)
    expect(err === '').toBe(!isProblem)
    // Whatever is not fine is followed by what to do.
    expect(out).not.toMatch(/^[!X] .*\n(?! {4}-> )/m)
  }
  const alone = await pachctlHere(['doctor'], { port: freePort, home })
  expect(alone.code).toBe(1)
  expect(alone.out).toMatch(/^X {3}connection: no server at .*\n {4}-> start pachd --root DIR/m)
  expect(alone.err).toContain('1 problem')
})

import { readFileSync } from 'node:fs'
import { assert } from '../base/errors.ts'

/** What `bin/pachd` tells Node about memory: so a child is started whose memory is measured. */
export function pachdFlags(): readonly string[] {
  const launcher = readFileSync(new URL('../../bin/pachd', import.meta.url), 'utf8')
  const flags = /^flags='(.*)'$/m.exec(launcher)?.[1]
  assert(flags !== undefined, 'bin/pachd sets flags')
  return flags.split(' ')
}

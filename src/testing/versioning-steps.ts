import * as fc from 'fast-check'
import { parseFilePath } from '../base/paths.ts'
import type { PairPut, PairStep } from './versioning-pair.ts'

const branches = fc.constantFrom('master', 'master', 'dev', 'old')
// Few names, so that files and directories meet; `!` sorts before, `é` is two bytes.
const names = fc.oneof(
  { weight: 6, arbitrary: fc.constant('a') },
  { weight: 2, arbitrary: fc.constantFrom('b', '!', 'é') },
)
const paths = fc
  .array(names, { minLength: 1, maxLength: 3 })
  .map((parts) => parseFilePath(parts.join('/')))
// Inline, in one chunk, and too large for a row.
const sizes = fc.oneof(
  { weight: 8, arbitrary: fc.nat(20) },
  { weight: 2, arbitrary: fc.nat(500) },
  { weight: 1, arbitrary: fc.constant(70_000) },
)
const puts: fc.Arbitrary<PairPut> = fc
  .record({
    path: paths,
    letter: fc.constantFrom('x', 'y', 'z'),
    size: sizes,
    overwrite: fc.boolean(),
  })
  .map(({ path, letter, size, overwrite }) => ({ path, text: letter.repeat(size), overwrite }))
const lines = fc
  .array(fc.constantFrom('x\n', 'long line\n', '\n', 'end'), { maxLength: 3 })
  .map((parts) => parts.join(''))
const splits: fc.Arbitrary<PairPut> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ path: paths, text: lines, overwrite: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      path: fc.constant(parseFilePath('/')),
      text: lines,
      overwrite: fc.boolean(),
    }),
  },
)
const deleted = fc.oneof(
  { weight: 6, arbitrary: paths },
  { weight: 1, arbitrary: fc.constant(parseFilePath('/')) },
)

const patterns = fc.constantFrom('', '/*', '/*/*', '/a/*', '/?', '/a/?/*', '/*a', '/b')

function stepOf<Kind extends PairStep['kind'], Rest extends object>(
  kind: Kind,
  rest: { [Key in keyof Rest]: fc.Arbitrary<Rest[Key]> },
): fc.Arbitrary<{ readonly kind: Kind; readonly branch: string } & Rest> {
  return fc
    .record({ branch: branches, rest: fc.record(rest) as fc.Arbitrary<Rest> })
    .map(({ branch, rest: fields }) => ({ kind, branch, ...fields }))
}

const sources = fc.oneof(
  { weight: 8, arbitrary: paths },
  { weight: 1, arbitrary: fc.constant(parseFilePath('/')) },
)
const placement = { from: branches, source: sources, path: sources, overwrite: fc.boolean() }

/** Calls that a client of versioning may make, on few branches and paths. */
export const versioningSteps: fc.Arbitrary<PairStep> = fc.oneof(
  { weight: 2, arbitrary: stepOf('start', {}) },
  { weight: 12, arbitrary: stepOf('put', { put: puts }) },
  { weight: 4, arbitrary: stepOf('delete', { path: deleted }) },
  { weight: 3, arbitrary: stepOf('bulk', { puts: fc.array(puts, { maxLength: 6 }) }) },
  { weight: 3, arbitrary: stepOf('split', { put: splits }) },
  { weight: 5, arbitrary: stepOf('copy', placement) },
  { weight: 4, arbitrary: stepOf('move', placement) },
  { weight: 3, arbitrary: stepOf('read', {}) },
  { weight: 4, arbitrary: stepOf('finish', {}) },
  { weight: 2, arbitrary: stepOf('point', { to: branches }) },
  { weight: 1, arbitrary: stepOf('unbranch', {}) },
  { weight: 1, arbitrary: stepOf('build', { to: branches }) },
  { weight: 1, arbitrary: stepOf('reroot', { to: branches }) },
  {
    weight: 4,
    arbitrary: stepOf('look', { path: deleted, pattern: patterns, other: branches }),
  },
  { weight: 1, arbitrary: stepOf('abandon', {}) },
)

import { parseGlob } from '../base/globs.ts'
import type { RepoName } from '../base/names.ts'
import { AtomSource, type InputTrees, type TreeChange } from './discovery/atom-source.ts'
import { CrossSource } from './discovery/cross-source.ts'
import type { DatumSource } from './discovery/datum-source.ts'
import { UnionSource } from './discovery/union-source.ts'
import type { Input } from './inputs.ts'

/**
 * The datums that `input` cuts from its branches' trees, and how they differ from those of an
 * earlier state of the same trees. An input whose trees have no earlier state has only `added`
 * datums. Cost of `added` and `removed`: the changed datums, not all.
 */
export function datumSource(
  trees: InputTrees,
  input: Input,
  changeOf: (repo: RepoName) => TreeChange,
): DatumSource {
  switch (input.kind) {
    case 'atom': {
      const atom = { input: input.name, glob: parseGlob(input.glob) }
      return new AtomSource(trees, atom, changeOf(input.repo))
    }
    case 'cross':
      return new CrossSource(input.members.map((member) => datumSource(trees, member, changeOf)))
    case 'union':
      return new UnionSource(input.members.map((member) => datumSource(trees, member, changeOf)))
  }
}

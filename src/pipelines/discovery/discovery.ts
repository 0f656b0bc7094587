import { parseGlob } from '../../base/globs.ts'
import type { RepoName } from '../../base/names.ts'
import type { FileTrees } from '../../storage/file-trees.ts'
import { AtomSource } from './atom-source.ts'
import { CrossSource } from './cross-source.ts'
import type { DatumSource } from './datum-source.ts'
import { GroupSource } from './group-source.ts'
import type { IndexReader } from './index-reader.ts'
import { JoinSource } from './join-source.ts'
import { matchingInputs } from './match-index.ts'
import { TreeMatches, type InputTrees, type TreeChange } from './matches.ts'
import { UnionSource } from './union-source.ts'
import type { Input } from '../inputs.ts'

/** What the datums of an input are found in. */
export interface DatumSurroundings {
  readonly trees: InputTrees & Pick<FileTrees, 'entryHash'>
  /** Of each branch that the input reads. */
  readonly changeOf: (repo: RepoName) => TreeChange
  /** For an input with joins or groups. */
  readonly index?: IndexReader | undefined
}

/**
 * The datums that `input` cuts from its branches' trees, and how they differ from those of an
 * earlier state of the same trees. An input whose trees have no earlier state has only `added`
 * datums. Cost of `added` and `removed`: the changed datums, not all; see each source.
 */
export function datumSource(input: Input, surroundings: DatumSurroundings): DatumSource {
  const { trees, changeOf, index } = surroundings
  const numbers = new Map<Input, number>(
    matchingInputs(input).map((matching, number) => [matching, number]),
  )
  const hashOf = trees.entryHash.bind(trees)
  const sourceOf = (part: Input): DatumSource => {
    switch (part.kind) {
      case 'atom': {
        const matches = new TreeMatches(trees, parseGlob(part.glob), changeOf(part.repo))
        return new AtomSource(part.name, matches, hashOf)
      }
      case 'cross':
        return new CrossSource(part.members.map(sourceOf))
      case 'union':
        return new UnionSource(part.members.map(sourceOf))
      case 'join':
      case 'group': {
        const node = numbers.get(part)
        if (index === undefined || node === undefined) {
          throw new Error('invariant broken: the matches of a join or group are indexed')
        }
        const place = { node, index, hashOf }
        return part.kind === 'join'
          ? new JoinSource({ ...place, input: part })
          : new GroupSource({ ...place, input: part })
      }
    }
  }
  return sourceOf(input)
}

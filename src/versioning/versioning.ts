import type { CollectionRoot } from '../storage/collection-roots.ts'
import { Branches } from './branches.ts'
import { collectionRoots } from './collection-roots.ts'
import { Commits } from './commits.ts'
import { Files } from './files.ts'
import type { VersioningPorts } from './ports.ts'
import { Repos } from './repos.ts'
import { Subscriptions } from './subscriptions.ts'
import { OpenTrees } from './staging/open-trees.ts'
import { Writes } from './writes.ts'

/** Versioned data: repos, and in them commits of file trees. */
export interface Versioning {
  readonly repos: Repos
  readonly branches: Branches
  readonly commits: Commits
  readonly files: Files
  readonly writes: Writes
  readonly subscriptions: Subscriptions
  /** Everything that keeps chunks alive: the rows' references, and trees in memory. */
  collectionRoots(): AsyncIterable<CollectionRoot>
}

export function createVersioning(ports: VersioningPorts): Versioning {
  const openTrees = new OpenTrees(ports)
  return {
    repos: new Repos(ports),
    branches: new Branches(ports),
    commits: new Commits(ports, openTrees),
    files: new Files(ports, openTrees),
    writes: new Writes(ports, openTrees),
    subscriptions: new Subscriptions(ports),
    async *collectionRoots() {
      await openTrees.forgetEnded()
      for (const root of openTrees.roots()) yield { kind: 'tree', root }
      yield* collectionRoots(ports.database, ports.chunks)
    },
  }
}

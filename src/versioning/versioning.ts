import { Branches } from './branches.ts'
import { Commits } from './commits.ts'
import { Files } from './files.ts'
import type { VersioningPorts } from './ports.ts'
import { Repos } from './repos.ts'
import { Subscriptions } from './subscriptions.ts'
import { Writes } from './writes.ts'

/** Versioned data: repos, and in them commits of file trees. */
export interface Versioning {
  readonly repos: Repos
  readonly branches: Branches
  readonly commits: Commits
  readonly files: Files
  readonly writes: Writes
  readonly subscriptions: Subscriptions
}

export function createVersioning(ports: VersioningPorts): Versioning {
  return {
    repos: new Repos(ports),
    branches: new Branches(ports),
    commits: new Commits(ports),
    files: new Files(ports),
    writes: new Writes(ports),
    subscriptions: new Subscriptions(ports),
  }
}

import type { CollectionRoot } from '../storage/collection-roots.ts'
import { BranchChanges } from './branch-changes.ts'
import { Branches } from './branches.ts'
import { collectionRoots } from './collection-roots.ts'
import { CommitTags } from './commit-tags.ts'
import { Commits } from './commits.ts'
import { Copies } from './copies.ts'
import { Deletions } from './deletions.ts'
import { Files } from './files.ts'
import { ListingCounts } from './commits/listing-counts.ts'
import type { VersioningPorts } from './ports.ts'
import { HeadWrites } from './head-writes.ts'
import { KeyListing } from './key-listing.ts'
import { Repos } from './repos.ts'
import { Subscriptions } from './subscriptions/subscriptions.ts'
import { OpenTrees } from './staging/open-trees.ts'
import { Transactions } from './transactions.ts'
import { Uploads } from './uploads.ts'
import { Writes } from './writes.ts'

/** Versioned data: repos, and in them commits of file trees. */
export interface Versioning {
  readonly repos: Repos
  readonly branches: Branches
  readonly branchChanges: BranchChanges
  readonly commits: Commits
  readonly deletions: Deletions
  readonly commitTags: CommitTags
  readonly files: Files
  readonly listingCounts: ListingCounts
  readonly writes: Writes
  readonly headWrites: HeadWrites
  readonly uploads: Uploads
  readonly keys: KeyListing
  readonly copies: Copies
  readonly subscriptions: Subscriptions
  readonly transactions: Transactions
  /** Everything that keeps chunks alive: the rows' references, and trees in memory. */
  collectionRoots(): AsyncIterable<CollectionRoot>
}

export function createVersioning(ports: VersioningPorts): Versioning {
  const openTrees = new OpenTrees(ports)
  const files = new Files(ports, openTrees)
  const writes = new Writes(ports, openTrees)
  const headWrites = new HeadWrites(ports, { openTrees, writes, files })
  return {
    repos: new Repos(ports),
    branches: new Branches(ports),
    branchChanges: new BranchChanges(ports),
    commits: new Commits(ports, openTrees),
    deletions: new Deletions(ports, openTrees),
    commitTags: new CommitTags(ports),
    files,
    listingCounts: new ListingCounts(ports, files),
    writes,
    headWrites,
    uploads: new Uploads(ports, headWrites),
    keys: new KeyListing(ports, files),
    copies: new Copies(ports, openTrees, files),
    subscriptions: new Subscriptions(ports),
    transactions: new Transactions(ports, openTrees),
    async *collectionRoots() {
      await openTrees.forgetEnded()
      for (const root of openTrees.roots()) yield { kind: 'tree', root }
      yield* collectionRoots(ports.database, ports.chunks)
    },
  }
}

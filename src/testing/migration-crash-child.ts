// Migrates a cluster until it comes to a step for the COUNTth time, and kills itself there:
// migration-crash-child.ts ROOT STEP COUNT ETCD STORAGE finish|keep|drop

import type { OpenCommitChoice } from '../migration/events.ts'
import { migrateTo } from './migration-crash.ts'
import { killAt } from './pack-crash.ts'

const [root = '', step = '', count = '', etcd = '', storage = '', choice = ''] =
  process.argv.slice(2)
const openCommits = choice as OpenCommitChoice
await migrateTo(root, { etcd, storage, openCommits }, killAt({ step, count }))

// Migrates a cluster until it comes to a step, and kills itself there:
// migration-crash-child.ts ROOT STEP ETCD STORAGE

import { migrateTo } from './migration-crash.ts'
import { killAt } from './pack-crash.ts'

const [root = '', step = '', etcd = '', storage = ''] = process.argv.slice(2)
await migrateTo(root, { etcd, storage }, killAt({ step, count: '1' }))

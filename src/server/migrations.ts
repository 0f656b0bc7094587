import type { Migrations } from '../database/database.ts'
import { migrationMigrations } from '../migration/tables.ts'
import { pipelinesMigrations } from '../pipelines/tables.ts'
import { storageMigrations } from '../storage/tables.ts'
import { objectMigrations } from '../versioning/object-tables.ts'
import { transactionMigrations } from '../versioning/transaction-tables.ts'
import { versioningMigrations } from '../versioning/tables.ts'

/** The tables of every layer, lower ones first. */
export const migrations: readonly Migrations[] = [
  storageMigrations,
  versioningMigrations,
  objectMigrations,
  transactionMigrations,
  pipelinesMigrations,
  migrationMigrations,
]

import {
  backupKeepDefault,
  collectEveryMinutesDefault,
  metadataCopyMinutesDefault,
} from './server-config.ts'

/** What `pachd --help` prints. */
export const usage: string = `pachd: the Pachyderm server

Usage: pachd --root DIR [--address HOST:PORT] [--http-address HOST:PORT|off]
             [--s3-address HOST:PORT|off] [--collect-every MINUTES]
             [--sources any|public|none] [--executor auto|process|container]
             [--secret-keys FILE]
             [--store URL] [--store-cache SIZE] [--take-bucket]
             [--old-etcd FILE|HOST:PORT --old-storage DIR|URL]
             [--backup-to DIR|URL [--backup-every CRON] [--backup-keep COUNT]]
             [--metadata-copy-every MINUTES]
       pachd --root DIR --fsck [--full] [--fix]
       pachd --root DIR --leave-bucket
       pachd --root DIR --restore DIR|URL [--snapshot NAME] [--restore-packs DIR|URL]
             [--skip-damaged]
       pachd --root DIR --restore-packs DIR|URL
       pachd --root DIR --recover-metadata [--snapshot NAME] [--store URL --take-bucket]

  --root DIR            the data directory; made if it does not exist (or PACH_ROOT)
  --address HOST:PORT   where to listen; port 0 picks a free one
                        (or PACHD_ADDRESS; default 0.0.0.0:30650)
  --http-address HOST:PORT
                        where to serve files by HTTP, besides the address above, which
                        does so, too; off: nowhere else (or PACHD_HTTP_ADDRESS;
                        default port 30652 when that above is 30650, else off)
  --s3-address HOST:PORT
                        where to serve S3, with branches as buckets; off: nowhere
                        (or PACHD_S3_ADDRESS; default port 30600 when the first is 30650,
                        else off). With PACHD_S3_ACCESS_KEY and PACHD_S3_SECRET_KEY it
                        takes only what is signed with them; without, from anybody. With
                        PACHD_S3_DOMAIN buckets are found in host names below it, too
  --collect-every MINUTES
                        how often to free what nothing needs, at most; 0: only when
                        asked to (or PACHD_COLLECT_EVERY; default ${collectEveryMinutesDefault})
  --program-path DIRS   where pipelines find programs before the usual places (as in PATH;
                        or PACHD_PROGRAM_PATH); /root and /home are hidden from them,
                        unless one of these lies there
  --executor auto|process|container
                        where user code runs: in a container of its image where the
                        pipeline names one and a container engine answers, else as a process
                        of this machine; or one of the two for all pipelines
                        (or PACHD_EXECUTOR; default auto)
  --sandbox auto|off    whether processes of pipelines have namespaces of their own, where the
                        machine allows them; off: they see all of the machine
                        (or PACHD_SANDBOX; default auto)
  --container-engine SOCKET|off
                        the socket of Docker or Podman; off: none is used
                        (or PACHD_CONTAINER_ENGINE; default DOCKER_HOST, else the usual ones)
  --container-network NAME
                        the network of containers: host, bridge, none, or one that the
                        engine has (or PACHD_CONTAINER_NETWORK; default host)
  --image-pull IfNotPresent|Always|Never
                        when images are asked for at their registry
                        (or PACHD_IMAGE_PULL; default IfNotPresent)
  --secret-keys FILE    the keys that secrets are encrypted with, apart from the data; by
                        default secrets.key in the data directory (or PACHD_SECRET_KEYS)
  --datum-disk SIZE     what a datum may have on disk in its output and temporary files, such
                        as 20G (or PACHD_DATUM_DISK; default: until the disk is nearly full)
  --datum-processes COUNT
                        how many processes and threads a datum may have at once
                        (or PACHD_DATUM_PROCESSES; default 4096)
  --sources any|public|none
                        where put-file may have this server fetch from: any address,
                        public ones only (no private, link-local or loopback address),
                        or none, which forbids export, too (or PACHD_SOURCES; default any)
  --store URL           keep contents in an object store, in an empty bucket or below an
                        empty prefix: s3://BUCKET/PREFIX (with ?endpoint=URL&region=NAME
                        where it is not Amazon's), as://HOST/CONTAINER/PREFIX or
                        gs://BUCKET/PREFIX. What is in the data directory is moved there;
                        the directory remembers it (or PACHD_STORE). Credentials are those
                        that put-file uses, of the environment or mounted secrets
  --store-cache SIZE    how much of what was read from there the data directory keeps, as
                        in 20GB; 0: nothing (or PACHD_STORE_CACHE; default 10GiB)
  --take-bucket         use the bucket although another pachd has used it since, on a copy
                        of this data directory, which must not be used any more
  --leave-bucket        bring all contents back into the data directory, instead of serving
  --old-etcd FILE|HOST:PORT, --old-storage DIR|URL
                        the stores of an old cluster, of 1.4 or 1.5, that pachctl migrate
                        brings here: its etcd or a snapshot of it, and where its objects
                        are, a directory or a bucket such as s3://pachyderm
                        (or PACHD_OLD_ETCD and PACHD_OLD_STORAGE)
  --backup-to DIR|URL   where backups go: a directory, or a prefix of a bucket such as
                        s3://backups/pachd, not among the data (or PACHD_BACKUP_TO)
  --backup-every CRON   when to make one, in UTC, as in a cron input: @daily, or
                        '0 0 3 * * *' (or PACHD_BACKUP_EVERY; default: only when asked)
  --backup-keep COUNT   how many good ones to keep; the only one is never deleted
                        (or PACHD_BACKUP_KEEP; default ${backupKeepDefault})
  --backup-key-file FILE, --backup-passphrase-file FILE
                        encrypt them, with a key of 64 hex digits or a passphrase; also
                        what opens them with --restore (or PACHD_BACKUP_KEY_FILE,
                        PACHD_BACKUP_PASSPHRASE_FILE)
  --metadata-copy-every MINUTES
                        how often to copy the metadata beside the packs, when they have
                        changed, after a start if that is due, and once more at a stop; 0: never (or PACHD_METADATA_COPY_EVERY; default ${metadataCopyMinutesDefault})
  --restore DIR|URL     put the data directory together from a backup instead of serving
                        it; it must be new, or empty. Stopped, it goes on when run again
  --restore-packs DIR|URL
                        look through all packs, and take those from a backup that are
                        missing or damaged. With --restore: another backup, for packs that
                        the first lacks, as one of metadata alone does; the key or
                        passphrase opens both
  --skip-damaged        with --restore: do without what is missing or damaged in the backup;
                        says which files that concerns, and exits with 1
  --recover-metadata    put the metadata together from the newest copy beside the packs,
                        where they are lost or damaged; with --store and --take-bucket also
                        into a new directory, where only the bucket is left
  --snapshot NAME       with either: the beginning of a snapshot's name, not the newest
  --fsck                check the data directory instead of serving it, also one that no
                        server can be started on; exits with 1 when something is damaged
  --full                with --fsck: read and check every byte, too
  --fix                 with --fsck: put right what can be derived with certainty
  --version             say which release this is
  --help                say this

When it is ready it prints: pachd is ready on HOST:PORT, data in DIR
and, where there are any, the addresses for files by HTTP and for S3 on lines of their own.
It stops on SIGINT or SIGTERM, after running calls have ended, in about 5 seconds at most.
`

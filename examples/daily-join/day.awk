# Two files of `hour,reading` in; /pfs/out/<day>.csv of `hour,temperature,power` out, and the day's
# mean and sum in /pfs/out/<day>.summary.
NR == FNR { celsius[$1] = $2; next }
FNR == 1 {
  day = FILENAME
  sub(/.*\//, "", day)
  sub(/\.csv$/, "", day)
  pfs = ENVIRON["PFS"] == "" ? "/pfs" : ENVIRON["PFS"]
}
$1 in celsius {
  print $1 "," celsius[$1] "," $2 > (pfs "/out/" day ".csv")
  degrees += celsius[$1]
  kilowatts += $2
  hours++
}
END {
  if (hours) printf "%s,%.1f,%.1f\n", day, degrees / hours, kilowatts > (pfs "/out/" day ".summary")
}

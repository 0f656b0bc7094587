# Plays a thermometer and an electricity meter of a house with a heat pump, for some days of March:
# DIR/temperature/<day>.csv and DIR/power/<day>.csv, a line `hour,reading` for each hour.
# awk -v dir=DIR -v from=1 -v days=10 -f readings.awk
function noise() { seed = (seed * 1103 + 12345) % 65536; return seed / 65536 - 0.5 }
BEGIN {
  pi = atan2(0, -1)
  for (day = from; day < from + days; day++) {
    seed = day * 7919 % 65536
    name = sprintf("2026-03-%02d.csv", day)
    weather = 6 + 5 * sin(day / 2.3) + 2 * noise()
    for (hour = 0; hour < 24; hour++) {
      celsius = weather + 4 * sin((hour - 9) * pi / 12) + noise()
      people = hour >= 6 && hour < 9 || hour >= 17 && hour < 23 ? 0.9 : 0.25
      heating = celsius < 16 ? (16 - celsius) * 0.09 : 0
      printf "%02d,%.1f\n", hour, celsius > (dir "/temperature/" name)
      printf "%02d,%.2f\n", hour, people + heating + 0.1 * noise() > (dir "/power/" name)
    }
    close(dir "/temperature/" name)
    close(dir "/power/" name)
  }
}

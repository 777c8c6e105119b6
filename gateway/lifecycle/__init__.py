"""What changes what users have. WRITES: install, update, roll back, publish, collect.

Each change of a user is one transaction and one write of their JSON file, under a lock that all
processes respect. A process that is killed at any step leaves the old state or the new. After the
commit the change is announced (freshness/), so that serving/ hears of it; the two share only the
disk, the database and the value `Change`.
"""

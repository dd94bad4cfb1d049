# mmdebstrap runs this with the root as $1, after it has unpacked the packages
# with dependencies. It fetches and unpacks those that come alone, and writes
# down which file is of which package.
set -eu
mkdir -p "$1/var/cache/apt/archives"
cd "$1/var/cache/apt/archives"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
list() { dpkg-deb --show --showformat='=${Package} ${Version}\n' "$1"; }
for deb in *.deb; do
    [ -e "$deb" ] || continue
    list "$deb"
    dpkg-deb --fsys-tarfile "$deb" | tar --list
done > "$1/px-packages.txt"
mkdir alone
cd alone
for name in $PROJECTX_ALONE; do
    # A kernel's meta package holds no file: take the kernel that it names.
    if [ "$name" = linux-image-arm64 ]; then
        name=$(apt-cache depends "$name" | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    fi
    apt-get -o APT::Sandbox::User=root --quiet download "$name"
done
for deb in *.deb; do
    [ -e "$deb" ] || continue
    list "$deb"
    dpkg-deb --vextract "$deb" "$1"
done >> "$1/px-packages.txt"
cd /
rm -r "$1/var/cache/apt/archives/alone"

# The access point of the boot test `wifi_joins`, run in the box by the test
# agent in busybox's shell. It has the second simulated radio, in a network
# namespace of its own: the box's programs see one radio, as on a Pi, and
# reach the access point through the air only.
set -eu

in_its_network() { nsenter --net=/run/netns/ap "$@"; }

case $1 in
start) # takes the radio and hands out addresses
    mkdir -p /run/netns
    : > /run/netns/ap
    unshare --net=/run/netns/ap true
    iw phy#1 set netns name ap
    in_its_network ip address add 192.168.77.1/24 dev wlan1
    cat > /udhcpd.conf <<END
start 192.168.77.10
end 192.168.77.50
interface wlan1
option subnet 255.255.255.0
option router 192.168.77.1
lease_file /leases
END
    : > /leases
    in_its_network udhcpd /udhcpd.conf > /udhcpd.log 2>&1
    ;;
network) # announces the network $2 with the password $3, of the kind $4, and no other
    [ ! -e /hostapd.pid ] || kill "$(cat /hostapd.pid)"
    while [ -e /hostapd.pid ]; do usleep 50000; done
    # No country: if the radio rules change, the box has changed them.
    cat > /hostapd.conf <<END
interface=wlan1
driver=nl80211
ssid=$2
hw_mode=g
channel=6
wpa=2
rsn_pairwise=CCMP
wpa_passphrase=$3
END
    case $4 in
    wpa2) echo wpa_key_mgmt=WPA-PSK ;;
    wpa3) printf 'wpa_key_mgmt=SAE\nieee80211w=2\nsae_pwe=2\n' ;;
    hidden) printf 'wpa_key_mgmt=WPA-PSK\nignore_broadcast_ssid=1\n' ;;
    esac >> /hostapd.conf
    in_its_network hostapd -B -P /hostapd.pid -f /hostapd.log /hostapd.conf
    ;;
fetch) # prints what is at the address $2
    in_its_network wget -q -T 10 -O - "$2"
    ;;
log) # prints what the access point saw
    cat /hostapd.log
    ;;
esac
